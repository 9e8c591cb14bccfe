"""The values that travel through the house: names, files, projects, index specifications. All frozen."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NewType

from attrs import evolve, field, frozen

from pypicache.core.errors import BadInput, NotFound

ProjectName = NewType("ProjectName", str)
"""A project's name in its normalised form (PEP 503): lower case ASCII letters, digits and single dashes."""

_VALID_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_SEPARATORS = re.compile(r"[-_.]+")
_INDEX_PART = re.compile(r"[^\x00-\x20!\"#$%&'()*+,/:;<=>?\[\\\]^`{|}~\x7f]+")
_NOT_IN_FILE_NAMES = re.compile(r"[/\\%?#\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HEX = re.compile(r"[0-9a-f]{32,128}")
_URL_DIRECTORY = re.compile(r"[^a-zA-Z0-9_.-]")

PREFERRED_HASHES = ("sha256", "sha512", "sha384", "blake2b", "sha224", "sha1", "md5")

NOTHING: Mapping[str, object] = MappingProxyType({})
NO_TEXT: Mapping[str, str] = MappingProxyType({})


def project_name(text: str) -> ProjectName:
    """Normalise a project's name as PEP 503 says.

    :raises BadInput: the text is not a valid name (core metadata specification, "Name").
    """
    if not _VALID_NAME.fullmatch(text):
        raise BadInput(
            f"{text[:80]!r} is not a project name: expected ASCII letters, digits, '.', '_' and '-', "
            "with a letter or digit at both ends"
        )
    return ProjectName(_SEPARATORS.sub("-", text).lower())


def index_name(text: str) -> str:
    """Check an index's full name, ``user/index`` (contract devpi 1.1).

    :raises BadInput: it does not have two parts, or a part has a character that cannot stand in a URL's segment.
    """
    parts = text.split("/")
    if len(parts) != 2 or not all(_INDEX_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise BadInput(
            f"{text[:80]!r} is not an index name: expected user/index, of letters, digits, '-', '.', '@' and '_'"
        )
    return text


def user_name(text: str) -> str:
    """Check a user's name (contract devpi 1.1).

    :raises BadInput: it is empty, too long, or has a character that cannot stand in a URL's segment.
    """
    if (
        not _INDEX_PART.fullmatch(text)
        or text in {".", ".."}
        or any(ord(character) < 160 and not character.isprintable() for character in text)
        or any(0xD800 <= ord(character) <= 0xDFFF for character in text)
        or len(text.encode()) > 200
    ):
        raise BadInput(
            f"{text[:80]!r} is not a user name: expected at most 200 bytes of letters, digits, '-', '.', '@' and '_'"
        )
    return text


def safe_file_name(name: str) -> bool:
    """Tell whether a file name of an upstream may become a name on our disk and a segment of our URLs."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= 230
        and not name.startswith(".")
        and not _NOT_IN_FILE_NAMES.search(name)
    )


def clean_hashes(hashes: Mapping[str, object]) -> dict[str, str]:
    """Keep what can be a digest, in lower case; the rest is dropped, because paths are made from these digits."""
    return {
        algorithm.lower(): digest.lower()
        for algorithm, digest in hashes.items()
        if isinstance(digest, str) and _HEX.fullmatch(digest.lower())
    }


@frozen(kw_only=True)
class File:
    """One distribution file as an index lists it (PEP 691 "files").

    A key that is ``None`` here was left out by whoever listed the file; it is left out again when rendered.
    """

    name: str  # "filename"; always safe (safe_file_name)
    url: str  # where the bytes are at the upstream, absolute, without fragment
    hashes: Mapping[str, str]  # algorithm -> lower case hex; may be empty
    size: int | None = None  # bytes
    upload_time: str | None = None  # as it came, byte for byte (PEP 700)
    requires_python: str | None = None
    yanked: bool | str | None = None  # a string is the reason (PEP 592)
    core_metadata: bool | Mapping[str, str] | None = None  # PEP 714; hashes where the index gave them
    extra: Mapping[str, object] = field(default=NOTHING)  # other JSON keys, kept as they came
    attested: bool = False  # a provenance object lies beside it, with us (PEP 740)
    index: str = ""  # the index that has it, where a page lists the files of several
    attributes: Mapping[str, str] = field(
        default=NO_TEXT
    )  # unknown data- attributes of an HTML page, kept as they came

    @property
    def best_hash(self) -> tuple[str, str] | None:
        """Algorithm and digest of the strongest hash that is known."""
        for algorithm in PREFERRED_HASHES:
            if algorithm in self.hashes:
                return algorithm, self.hashes[algorithm]
        return next(iter(self.hashes.items()), None)

    @property
    def path(self) -> str:
        """The URL path of the file below its index, unquoted (contract devpi 11.1)."""
        best = self.best_hash
        if best is not None:
            digest = best[1]
            return f"+f/{digest[:3]}/{digest[3:16]}/{self.name}"
        directory = self.url.rpartition("/")[0]
        scheme, _, rest = directory.partition("://")
        return f"+e/{_URL_DIRECTORY.sub('_', f'{scheme}/{rest}')[:200]}/{self.name}"


@frozen(kw_only=True)
class Project:
    """What an index lists for one project (PEP 691, project detail).

    Two values with the same ``name`` and ``revision``, of the same index, are rendered to the same bytes.
    """

    name: ProjectName
    revision: str  # changes whenever anything that a client can see changes; printable ASCII without spaces
    files: tuple[File, ...] = ()
    versions: tuple[str, ...] | None = None  # as the upstream listed them; None: it did not
    status: Mapping[str, object] | None = None  # "project-status" (PEP 792)
    serial: int | None = None  # X-PyPI-Last-Serial
    meta: Mapping[str, object] = field(default=NOTHING)  # other keys of "meta", kept as they came
    extra: Mapping[str, object] = field(default=NOTHING)  # other top-level keys, kept as they came
    checked: float | None = None  # when the upstream last confirmed this, in seconds since the epoch; None: it is ours
    stale: bool = False  # the upstream should have been asked again, and could not

    _asked: dict[str, File] = field(init=False, factory=dict, eq=False, repr=False)  # files by path, as they were found

    def file(self, path: str) -> File:
        """The file with this path (:attr:`File.path`).

        :raises NotFound: the project lists no such file.
        """
        found = self._asked.get(path)
        if found is not None:
            return found
        name = path.rpartition("/")[2]
        for file in self.files:
            if file.name == name and file.path == path:
                self._asked[path] = file
                return file
        raise NotFound(f"{self.name} lists no file {name!r} with this digest")

    def keep(self, wanted: Callable[[File], bool], why: str) -> Project:
        """The same project with fewer files; ``why`` tells this view from others in :attr:`revision`."""
        return evolve(self, files=tuple(filter(wanted, self.files)), revision=f"{self.revision}.{why}")
