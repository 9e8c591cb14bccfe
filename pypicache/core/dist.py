"""Distribution files: what their names say, and the METADATA inside a wheel."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, BinaryIO
from zipfile import BadZipFile, ZipFile

from packaging.utils import canonicalize_version
from packaging.version import VERSION_PATTERN

from pypicache.core.errors import BadInput
from pypicache.core.model import ProjectName, project_name, safe_file_name

ARCHIVES = (
    ".whl",
    ".tar.gz",
    ".doc.zip",
    ".zip",
    ".tar.bz2",
    ".tar.xz",
    ".tar.z",
    ".tar",
    ".tgz",
    ".egg",
    ".exe",
    ".msi",
    ".rpm",
    ".deb",
    ".dmg",
)
"""How the name of a distribution file ends, in lower case (contract devpi 16.1)."""

MOST_METADATA = 8 * 2**20  # bytes of METADATA; the largest real ones have a few hundred KiB
MOST_DIRECTORY = 16 * 2**20  # bytes of a ZIP archive's table of contents, which zipfile reads in one go
MOST_PROJECTS = 8  # each one may cost its asker a request to an upstream

_VERSION = re.compile(VERSION_PATTERN, re.VERBOSE | re.IGNORECASE | re.ASCII)
_OLD_VERSION = re.compile(r"v?\d[\w.!+]*(?:-[\w.!+]+)*", re.IGNORECASE | re.ASCII)  # from before PEP 440, like 2004d
_PLAIN_VERSION = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*", re.ASCII)
_PLATFORM = re.compile(
    r"[.-](?:win32|win-amd64|win-arm64|win-arm32|linux-\w+|macosx-?\d[\d.]*(?:-\w+)?|noarch|src)(?:-py\d[\d.]*)?$",
    re.IGNORECASE | re.ASCII,
)
_PYTHON = re.compile(r"-py\d[\d.]*(?:-[\w.]+(?:-\w+)*)?$", re.ASCII)
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")


def is_wheel(file_name: str) -> bool:
    """Tell whether a file is a wheel, by its name."""
    return file_name.lower().endswith(".whl")


def is_archive(file_name: str) -> bool:
    """Tell whether a name can be that of a distribution file."""
    return file_name.lower().endswith(ARCHIVES)


def projects_of(file_name: str) -> tuple[ProjectName, ...]:
    """The projects a file of this name may belong to, the most plausible first, at most :data:`MOST_PROJECTS`.

    A wheel says it (one project, or none if the name is broken). The name of another file is cut at its dashes: first
    where the rest is a version as of PEP 440, then where it looks like an older version, then everywhere else.
    """
    if not safe_file_name(file_name):
        return ()
    if is_wheel(file_name):
        parts = _wheel_parts(file_name)
        return tuple(_valid_names([] if parts is None else [parts[0]]))[:1]
    stem = _stem(file_name)
    cuts = [(stem[:at], stem[at + 1 :]) for at, character in enumerate(stem) if character == "-"]
    if file_name.lower().endswith(".deb"):
        # Debian's package_version_architecture, where packages of libraries are called python3-PROJECT.
        package = stem.partition("_")[0]
        cuts[:0] = [(re.sub(r"^python\d?-", "", package), "0"), (package, "0")]
    modern = [name for name, rest in cuts if _VERSION.fullmatch(rest)]
    older = [name for name, rest in cuts if _OLD_VERSION.fullmatch(rest)]
    others = [name for name, _ in reversed(cuts)]
    return tuple(dict.fromkeys(_valid_names([*modern, *older, *others, stem])))[:MOST_PROJECTS]


def version_of(file_name: str, project: ProjectName) -> str | None:
    """The version a file of this project has, as its name spells it.

    ``None`` if the name is not one of this project's, or nothing in it looks like a version. Where a wheel or an egg
    had to write ``_`` for ``-`` or ``+`` (binary distribution format, "Escaping and Unicode"), that is undone.
    """
    if is_wheel(file_name):
        parts = _wheel_parts(file_name)
        if parts is None or _normalised(parts[0]) != project:
            return None
        return _unescaped(parts[1])
    stem = _stem(file_name)
    at = stem.find("-")
    while at >= 0:
        if _normalised(stem[:at]) == project:
            rest = stem[at + 1 :]
            text = _unescaped(rest) if file_name.lower().endswith(".egg") else rest
            if text is not None and (_VERSION.fullmatch(text) or _OLD_VERSION.fullmatch(text)):
                return text
        at = stem.find("-", at + 1)
    return None


@lru_cache(maxsize=65536)
def version_key(text: str) -> str:
    """A text that is the same for spellings of one version: ``1.0`` and ``1.0.0``, ``1.0-beta1`` and ``1.0b1``."""
    if _PLAIN_VERSION.fullmatch(text):
        while text.endswith(".0"):
            text = text[:-2]
        return text
    return str(canonicalize_version(text[:256]))


def wheel_metadata(stream: BinaryIO) -> bytes | None:
    """The METADATA of a wheel, byte for byte (PEP 658).

    ``None`` if the archive is broken, has none or several, or one of more than :data:`MOST_METADATA` bytes. No more
    than that is ever decompressed.

    :param stream: the wheel, open for reading; must be seekable. Its position afterwards is undefined.
    """
    return archive_member(stream, _METADATA) or None


def archive_member(stream: BinaryIO, pattern: str | re.Pattern[str]) -> bytes | None:
    """The only member of a ZIP archive whose name matches; empty if there is none, several, or one that is too large.

    ``None`` if the archive is broken.
    """
    fits = re.compile(pattern).fullmatch
    try:
        with ZipFile(_Bounded(stream)) as archive:
            found = [member for member in archive.infolist() if fits(member.filename)]
            if len(found) != 1 or found[0].file_size > MOST_METADATA:
                return b""
            with archive.open(found[0]) as member:
                metadata = member.read(MOST_METADATA + 1)
                # The checksum is compared when the end is met, not before.
                return metadata if len(metadata) == found[0].file_size and not member.read(1) else None
    except _BROKEN:
        return None


_BROKEN = (
    BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression or a version of ZIP that zipfile does not know
    OSError,  # an offset before the beginning; broken bzip2
    RuntimeError,  # encrypted
    ValueError,  # names that are not text, offsets that are not numbers
    OverflowError,
    LookupError,
)


class _Bounded:
    """A stream that does not give much at once, because zipfile believes the sizes that an archive claims."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell
        self.seekable = stream.seekable
        self.close = stream.close

    def read(self, size: int = -1) -> bytes:
        """Read as a file does, at most :data:`MOST_DIRECTORY`; zipfile takes less than it asked for as broken."""
        return self._stream.read(MOST_DIRECTORY if size < 0 else min(size, MOST_DIRECTORY))


def _wheel_parts(file_name: str) -> list[str] | None:
    """Name, version, optional build, and three tags (binary distribution format, "File name convention")."""
    parts = file_name[:-4].split("-")
    return parts if len(parts) in {5, 6} and all(parts) else None


def _stem(file_name: str) -> str:
    """The file name without its ending, its platform and its Python version."""
    lower = file_name.lower()
    ending = next((ending for ending in ARCHIVES if lower.endswith(ending)), "")
    stem = file_name[: len(file_name) - len(ending)]
    if ending in {".egg", ".dmg"}:
        return _PYTHON.sub("", stem)
    if ending == ".rpm":
        return re.sub(r"-[\w.]+$", "", _PLATFORM.sub("", stem))  # the release of the package, not of the project
    if ending in {".exe", ".msi", ".zip", ".tar.gz", ".tar.bz2", ".tar.z", ".tar", ".tar.xz", ".tgz"}:
        return _PLATFORM.sub("", stem)
    return stem


def _unescaped(text: str) -> str | None:
    """A version of which ``-`` and ``+`` were written as ``_``."""
    for version in (text, text.replace("_", "-"), text.replace("_", "+", 1)):
        if _PLAIN_VERSION.fullmatch(version) or _VERSION.fullmatch(version):
            return version
    return text.replace("_", "-") if _OLD_VERSION.fullmatch(text) else None


@lru_cache(maxsize=1024)
def _normalised(text: str) -> ProjectName | None:
    """The name, or ``None`` where it cannot be one; the files of a page have the same few over and over."""
    try:
        return project_name(text)
    except BadInput:
        return None


def _valid_names(texts: list[str]) -> Iterator[ProjectName]:
    """Those of the texts that are names, normalised."""
    for text in texts:
        name = _normalised(text)
        if name is not None:
            yield name
