"""A project's page of the simple API, read without loss (PEP 503, 592, 629, 658, 691, 700, 714, 740, 792)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from urllib.parse import quote, unquote, urljoin, urlsplit

import orjson
from attrs import evolve

from pypicache.core.dist import is_archive
from pypicache.core.errors import BadInput
from pypicache.core.markup import attributes, pieces
from pypicache.core.model import NO_TEXT, NOTHING, File, Project, ProjectName, clean_hashes, safe_file_name

JSON_TYPES = frozenset({"application/vnd.pypi.simple.v1+json", "application/json"})
HTML_TYPES = frozenset({"application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml"})
METADATA_KEYS = ("core-metadata", "dist-info-metadata", "data-dist-info-metadata")  # in the order they count

MOST_NESTED = 64  # levels of JSON we keep; orjson writes at most 254

# uv refuses a whole page for one digest of another length. Its blake2b is the one of 256 bits.
_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 64}
_CHARSETS = {"iso-8859-1": "cp1252", "latin-1": "cp1252", "windows-1252": "cp1252"}
_WEB_URL = re.compile(
    r"https?://(?:[\w.~!$&'()*+,;=:%-]*@)?(?:[\w.~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:[/?][!#-;=?-\[\]_a-z~]*)?",
    re.ASCII,
)  # nothing in it that has to be escaped
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)", re.ASCII)
_COMMON_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")  # safe at first sight
_SIZE = re.compile(r"\d{1,18}", re.ASCII)
_API_VERSION = re.compile(r"1(?:\.\d+)*", re.ASCII)


def parse_page(body: bytes, content_type: str, base_url: str, name: ProjectName, index: str = "") -> Project:
    """One project's page, JSON or HTML.

    Files without a name that is safe or without an HTTP address are left out. A key we know that is of the wrong type
    is left out; a key we do not know is kept as it came.

    :param content_type: the header's value, with its parameters.
    :param base_url: where the page came from, after redirects; relative addresses start there.
    :param index: our index that has the files.
    :raises BadInput: it is not a page of the simple API, or one of another major version.
    """
    # Relative addresses make other files of the same page from elsewhere.
    digest = sha256(f"{base_url}\n{content_type}\n".encode())
    digest.update(body)
    revision = digest.hexdigest()[:32]
    body = body.removeprefix(b"\xef\xbb\xbf")
    kind = media_type(content_type)
    # Servers of static files know nothing of the type; an object is never HTML.
    if kind in JSON_TYPES or body.lstrip()[:1] == b"{":
        project = _read_json(body, base_url, name, index)
    elif kind in HTML_TYPES or not kind:  # who sends no type at all sends HTML
        project = _read_html(decoded(body, content_type), base_url, name, index)
    else:
        raise BadInput(f"the page of {name} is neither JSON nor HTML: its Content-Type is {content_type[:80]!r}")
    return evolve(project, revision=revision)


def media_type(content_type: str) -> str:
    """The type in a Content-Type header, without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def charset(content_type: str) -> str:
    """The encoding of an HTML document: Windows-1252 where its header says so or says Latin-1, else UTF-8."""
    found = re.search(r"charset\s*=\s*[\"']?([\w-]+)", content_type, re.IGNORECASE)
    return _CHARSETS.get(found[1].lower(), "utf-8") if found else "utf-8"


def decoded(body: bytes, content_type: str) -> str:
    """The text of an HTML document; what cannot be read becomes U+FFFD."""
    text = body.decode(charset(content_type), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def check_api_version(version: object, what: str) -> None:
    """Refuse what a later major version of the API may mean (PEP 629).

    :param version: ``None`` if the answer names none; that is version 1.0.
    :raises BadInput: it is not version 1.
    """
    if version is not None and not (isinstance(version, str) and _API_VERSION.fullmatch(version)):
        raise BadInput(f"{what} has api-version {str(version)[:20]!r}: expected 1.x")


# JSON


def _read_json(body: bytes, base_url: str, name: ProjectName, index: str) -> Project:
    try:
        page = orjson.loads(body)
    except ValueError as error:
        raise BadInput(f"the page of {name} is not JSON: {error}") from None
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise BadInput(f"the page of {name} is JSON without a list of files")
    meta = page.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    check_api_version(meta.get("api-version"), f"the page of {name}")
    serial = meta.get("_last-serial")
    versions = page.get("versions")
    absolute = _joiner(base_url)
    return Project(
        name=name,
        revision="",
        files=_unique(_json_file(entry, absolute, index) for entry in page["files"] if isinstance(entry, dict)),
        versions=tuple(each for each in versions if isinstance(each, str)) if isinstance(versions, list) else None,
        status=_status(page.get("project-status")),
        serial=serial if type(serial) is int else None,
        meta=_others(meta, {"api-version"}),
        extra=_others(page, {"meta", "name", "versions", "files", "project-status"}),
    )


def _safe(name: str) -> bool:
    return _COMMON_NAME.fullmatch(name) is not None or safe_file_name(name)


def _json_file(entry: dict[str, object], absolute: Callable[[str], str | None], index: str) -> File | None:
    name, url, core_metadata = entry.get("filename"), entry.get("url"), None
    if not isinstance(name, str) or not _safe(name) or not isinstance(url, str):
        return None
    url = url.partition("#")[0]
    address = absolute(url) if url else None
    if address is None:
        return None
    hashes, size, yanked = entry.get("hashes"), entry.get("size"), entry.get("yanked")
    upload_time, requires_python = entry.get("upload-time"), entry.get("requires-python")
    for key in METADATA_KEYS:
        core_metadata = _core_metadata(entry.get(key))
        if core_metadata is not None:
            break
    extra: dict[str, object] = {}
    for key, value in entry.items():
        if key in _FIELDS:
            continue
        if key == "requires-python":
            if value is None:
                extra[key] = None
        elif key in METADATA_KEYS:
            if value is None and core_metadata is None:
                extra[key] = None
        elif key == "gpg-sig":
            if value is None or isinstance(value, bool):
                extra[key] = value
        elif key == "provenance":
            # A page is shown to people: an address in it must not be a script.
            joined = absolute(value) if isinstance(value, str) else None
            if value is None or joined is not None:
                extra[key] = joined
        elif _shallow(value):
            extra[key] = value
    return File(
        name=name,
        url=address,
        hashes=_hashes(hashes) if isinstance(hashes, dict) else NO_TEXT,
        size=size if type(size) is int and 0 <= size < 2**63 else None,
        upload_time=upload_time if isinstance(upload_time, str) and _is_time(upload_time) else None,
        requires_python=requires_python if isinstance(requires_python, str) else None,
        yanked=_yanked(yanked),
        core_metadata=core_metadata,
        extra=extra or NOTHING,
        index=index,
    )


_FIELDS = frozenset({"filename", "url", "hashes", "size", "upload-time", "yanked"})


def _yanked(value: object) -> bool | str | None:
    """``None`` if it is not yanked; the reason, or ``True`` where none is given (PEP 592)."""
    if isinstance(value, str):
        return value or True
    return True if value is True else None


def _core_metadata(value: object) -> bool | Mapping[str, str] | None:
    if isinstance(value, bool):
        return value
    return (_hashes(value) or True) if isinstance(value, dict) else None


def _hashes(given: Mapping[str, object]) -> dict[str, str]:
    return {
        algorithm: digest
        for algorithm, digest in clean_hashes(given).items()
        if len(digest) == _DIGITS.get(algorithm, len(digest))
    }


def _status(value: object) -> Mapping[str, object] | None:
    """The project's status (PEP 792), if there is one in it."""
    if not isinstance(value, dict) or not isinstance(value.get("status"), str):
        return None
    return {
        key: each
        for key, each in value.items()
        if _shallow(each) and (key != "reason" or each is None or isinstance(each, str))
    }


def _others(given: dict[str, object], known: set[str]) -> Mapping[str, object]:
    return {key: value for key, value in given.items() if key not in known and _shallow(value)} or NOTHING


def _shallow(value: object) -> bool:
    """Tell whether a value of an unknown key is nested so little that it can be written again."""
    level = [value]
    for _ in range(MOST_NESTED):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        if not below:
            return True
        level = below
    return False


def _is_time(text: str) -> bool:
    """Tell whether it is a time as in PEP 700, with a zone. uv refuses a whole page for one that is not."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


# HTML


def _read_html(text: str, base_url: str, name: ProjectName, index: str) -> Project:
    metas: dict[str, str] = {}
    base: str | None = None
    anchors: list[dict[str, str]] = []
    for tag, source in pieces([text]):
        if tag == "a":
            anchors.append(attributes(source))
        elif tag == "meta":
            given = attributes(source)
            metas.setdefault(given.get("name", "").strip().lower(), given.get("content", ""))
        elif tag == "base" and base is None:
            base = attributes(source).get("href", "").strip() or None
    if "pypi:repository-version" in metas:
        check_api_version(metas["pypi:repository-version"].strip(), f"the page of {name}")
    status: dict[str, object] = {"status": metas.get("pypi:project-status", "").strip()}
    if metas.get("pypi:project-status-reason"):
        status["reason"] = metas["pypi:project-status-reason"]
    absolute = _joiner(_joiner(base_url)(base or base_url) or base_url)
    return Project(
        name=name,
        revision="",
        files=_unique(_html_file(anchor, absolute, index) for anchor in anchors),
        status=_status(status) if status["status"] else None,
    )


_ATTRIBUTES = frozenset(
    {
        "data-core-metadata",
        "data-dist-info-metadata",
        "data-requires-python",
        "data-yanked",
        "data-gpg-sig",
        "data-provenance",
        "data-size",
        "data-upload-time",
    }
)


def _html_file(given: dict[str, str], absolute: Callable[[str], str | None], index: str) -> File | None:
    address, _, fragment = given.get("href", "").strip().partition("#")
    name = unquote(address.partition("?")[0].rpartition("/")[2])
    if not is_archive(name) or not _safe(name):
        return None
    url = absolute(address)
    if url is None:
        return None
    size, upload_time = given.get("data-size", ""), given.get("data-upload-time", "")
    metadata = given.get("data-core-metadata") or given.get("data-dist-info-metadata") or ""
    extra: dict[str, object] = {}
    if given.get("data-gpg-sig") in {"true", "false"}:
        extra["gpg-sig"] = given["data-gpg-sig"] == "true"
    provenance = absolute(given["data-provenance"]) if given.get("data-provenance") else None
    if provenance is not None:
        extra["provenance"] = provenance
    return File(
        name=name,
        url=url,
        hashes=_fragment_hashes(fragment),
        size=int(size) if _SIZE.fullmatch(size) else None,
        upload_time=upload_time if _is_time(upload_time) else None,
        requires_python=given.get("data-requires-python"),
        yanked=given["data-yanked"] or True if "data-yanked" in given else None,
        core_metadata=_html_metadata(metadata),
        extra=extra or NOTHING,
        index=index,
        attributes={key: value for key, value in given.items() if key.startswith("data-") and key not in _ATTRIBUTES}
        or NO_TEXT,
    )


def _html_metadata(text: str) -> bool | Mapping[str, str] | None:
    if text in {"true", "false"}:
        return text == "true"
    algorithm, equals, digest = text.partition("=")
    return (_hashes({algorithm: digest}) or True) if equals else None


def _fragment_hashes(fragment: str) -> Mapping[str, str]:
    pairs = (pair.partition("=") for pair in fragment.split("&", 8)[:8])
    return _hashes({key: value for key, _, value in pairs if key.lower() in _DIGITS}) or NO_TEXT


# both


def _joiner(base_url: str) -> Callable[[str], str | None]:
    """A function that makes an address absolute, or ``None`` of it where it is not one of the web."""

    def absolute(address: str) -> str | None:
        if "@" not in address and _WEB_URL.fullmatch(address):
            return address
        try:
            joined = urljoin(base_url, address)
            if not _WEB_URL.fullmatch(joined):
                joined = quote(urlsplit(joined).geturl(), safe="!#$%&'()*+,/:;=?@[]~")
        except ValueError:
            return None
        if not _WEB_URL.fullmatch(joined):
            return None
        # Some upstreams repeat the credentials they were asked with; those are not for whoever reads the page.
        parts = urlsplit(joined)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else joined

    return absolute


def _unique(files: Iterable[File | None]) -> tuple[File, ...]:
    """Each file once; of several with the same name the first that has a hash."""
    found: dict[str, File] = {}
    for file in files:
        if file is not None and (file.name not in found or (file.hashes and not found[file.name].hashes)):
            found[file.name] = file
    return tuple(found.values())
