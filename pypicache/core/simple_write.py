"""A project's page of the simple API, written as JSON and HTML (PEP 503, 592, 691, 700, 714, 740, 792).

What is not known is left out, never null: uv refuses a whole page for one null (contract clients 4.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape

import orjson

from pypicache.core.dist import version_key, version_of
from pypicache.core.model import File, Project, ProjectName

# Algorithms that every client can read in a fragment, best first; uv refuses a whole page for sha1 and sha224.
FRAGMENTS = ("sha256", "sha512", "sha384", "blake2b", "md5")

VERSION = 2  # raised whenever the same project is written as other bytes, for pages outlive the process that wrote them

PROVENANCE = ".provenance"  # what the address of a file is followed by for its attestations (PEP 740)

_FILE_KEYS = frozenset({"filename", "url", "hashes", "size", "upload-time", "yanked"})
_PAGE_KEYS = frozenset({"meta", "name", "versions", "files", "project-status"})
_ATTRIBUTE = re.compile(r"data-[a-z0-9-]+", re.ASCII)
_OWN_ATTRIBUTES = frozenset(
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


def render_json(project: Project, url_of: Callable[[File], str]) -> bytes:
    """The page as JSON, with a newline at its end.

    :param url_of: where clients get a file; absolute or relative, without fragment.
    """
    entries = [_entry(file, url_of(file)) for file in project.files]
    lines: list[bytes | memoryview]
    try:
        lines = [memoryview(orjson.dumps(entries, default=_plain))[1:-1]]
    except orjson.JSONEncodeError:
        lines = [_json(entry) for entry in entries]
    return json_page(project, lines, versions_of(project))


def render_html(project: Project, url_of: Callable[[File], str]) -> bytes:
    """The page as HTML 5 (PEP 503).

    :param url_of: where clients get a file; absolute or relative, without fragment.
    """
    return html_page(project, [html_line(file, url_of(file)) for file in project.files])


def json_page(project: Project, lines: Sequence[bytes | memoryview], versions: Sequence[str]) -> bytes:
    """The page as JSON, around what :func:`json_line` says of each file.

    It declares version 1.4 if the size of every file is known, as that version demands, and else 1.0.

    :param versions: as from :func:`versions_of`.
    """
    sized = None not in [file.size for file in project.files]
    before: dict[str, object] = {
        "meta": {**project.meta, "api-version": "1.4" if sized else "1.0"},
        "name": project.name,
        "versions": versions,
    }
    after: dict[str, object] = {} if project.status is None else {"project-status": project.status}
    after.update((key, value) for key, value in project.extra.items() if key not in _PAGE_KEYS)
    end = b"," + _json(after)[1:] if after else b"}"
    listed: list[bytes | memoryview] = [b","] * (2 * len(lines) - 1)
    listed[::2] = lines
    return b"".join([_json(before)[:-1], b',"files":[', *listed, b"]", end, b"\n"])


def html_page(project: Project, lines: Sequence[bytes]) -> bytes:
    """The page as HTML, around what :func:`html_line` says of each file; its version is 1.4 for ever (PEP 833)."""
    title = f"Links for {escaped(project.name)}"
    before = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="pypi:repository-version" content="1.4">',
        *_status_metas(project.status),
        f"<title>{title}</title>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
    ]
    return b"\n".join(["\n".join(before).encode("utf-8", "replace"), *lines, b"</body>", b"</html>", b""])


def versions_of(project: Project) -> list[str]:
    """The versions as the upstream listed them, each once, and after them those of files that it forgot (PEP 700)."""
    return all_versions(project, file_versions(project.name, project.files))


def all_versions(project: Project, of_files: Iterable[str | None]) -> list[str]:
    """The same, where the versions of the files are known."""
    found = dict.fromkeys(project.versions or ())
    keys = {version_key(version) for version in found}
    for version in dict.fromkeys(of_files):
        if version is None or version in found:
            continue
        key = version_key(version)
        if key not in keys:
            keys.add(key)
            found[version] = None
    return list(found)


def file_versions(name: ProjectName, files: Iterable[File]) -> list[str | None]:
    """The version that each file's name tells; ``None`` if it tells none."""
    versions: list[str | None] = []
    releases: dict[
        tuple[str, ...], str | None
    ] = {}  # by name and version, which all wheels of a release have in common
    for file in files:
        release = tuple(file.name.split("-", 2)[:2]) if file.name.endswith(".whl") else ()
        version = releases.get(release)
        if version is None:
            version = version_of(file.name, name)
            if release:
                releases[release] = version
        versions.append(version)
    return versions


def escaped(text: str) -> str:
    """A text as it may stand between tags and between quotes, so that a browser reads the same text again."""
    # To look for single characters is faster than any pattern, and nearly all texts have none of them.
    if not ("&" in text or "<" in text or ">" in text or '"' in text or "'" in text or "\r" in text or "\0" in text):
        return text
    # A bare carriage return would be read as a newline, and a null character cannot be written at all.
    return escape(text, quote=True).replace("\r", "&#13;").replace("\0", "\ufffd")


_escaped_again = lru_cache(maxsize=1024)(escaped)  # for what the files of a page have over and over


def json_line(file: File, url: str) -> bytes:
    """What a page in JSON says of a file."""
    return _json(_entry(file, url))


def _entry(file: File, url: str) -> dict[str, object]:
    entry: dict[str, object] = {"filename": file.name, "url": url, "hashes": file.hashes or {}}
    if file.requires_python is not None:
        entry["requires-python"] = file.requires_python
    if file.core_metadata is not None:
        # Three spellings, because pip, poetry, pdm and uv look for different ones (contract clients 1.2).
        entry["core-metadata"] = file.core_metadata
        entry["dist-info-metadata"] = file.core_metadata
        entry["data-dist-info-metadata"] = file.core_metadata
    if file.yanked is not None:
        entry["yanked"] = file.yanked
    if file.size is not None:
        entry["size"] = file.size
    if file.upload_time is not None:
        entry["upload-time"] = file.upload_time
    if file.attested:
        entry["provenance"] = url + PROVENANCE
    for key, value in file.extra.items():
        if key not in entry and key not in _FILE_KEYS:
            entry[key] = value
    return entry


def _json(value: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError:
        # Half a character (a lone surrogate) or a number of more than 64 bits must not make a project disappear.
        return json.dumps(value, default=_plain, ensure_ascii=False).encode("utf-8", "replace")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _status_metas(status: Mapping[str, object] | None) -> list[str]:
    if status is None or not isinstance(status.get("status"), str):
        return []
    metas = [f'<meta name="pypi:project-status" content="{escaped(str(status["status"]))}">']
    if isinstance(status.get("reason"), str) and status["reason"]:
        metas.append(f'<meta name="pypi:project-status-reason" content="{escaped(str(status["reason"]))}">')
    return metas


def html_line(file: File, url: str) -> bytes:
    """What a page in HTML says of a file."""
    shown = _pair(file.hashes)
    tag = f'<a href="{escaped(url)}{"#" if shown else ""}{shown}"'
    metadata = file.core_metadata
    if metadata:
        # A client takes any value for a yes, so a no is said by leaving it out.
        value = "true" if metadata is True else _pair(metadata) or "true"
        tag += f' data-core-metadata="{value}" data-dist-info-metadata="{value}"'
    if file.requires_python is not None:
        tag += f' data-requires-python="{_escaped_again(file.requires_python)}"'
    if file.yanked:
        tag += f' data-yanked="{_escaped_again(file.yanked) if isinstance(file.yanked, str) else ""}"'
    if file.size is not None:
        tag += f' data-size="{file.size}"'
    if file.upload_time is not None:
        tag += f' data-upload-time="{escaped(file.upload_time)}"'
    if file.attested:
        tag += f' data-provenance="{escaped(url + PROVENANCE)}"'
    elif file.extra:
        if isinstance(file.extra.get("gpg-sig"), bool):
            tag += f' data-gpg-sig="{"true" if file.extra["gpg-sig"] else "false"}"'
        if isinstance(file.extra.get("provenance"), str):
            tag += f' data-provenance="{escaped(str(file.extra["provenance"]))}"'
    for key, text in file.attributes.items() if file.attributes else ():
        if key not in _OWN_ATTRIBUTES and _ATTRIBUTE.fullmatch(key):
            tag += f' {key}="{escaped(text)}"'
    return f"{tag}>{escaped(file.name)}</a><br>".encode("utf-8", "replace")


def _pair(hashes: Mapping[str, str]) -> str:
    """Algorithm and digest of the one hash that is shown; empty if there is none that every client can read."""
    for algorithm in FRAGMENTS:
        digest = hashes.get(algorithm)
        if digest is not None:
            return f"{algorithm}={escaped(digest)}"
    return ""
