"""Documentation of releases, read out of the ZIP archives in which it is uploaded (contract devpi 14)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipExtFile, ZipFile

from attrs import frozen
from packaging.version import InvalidVersion, Version
from zope.interface import implementer

from pypicache.core.changes import FileSaved
from pypicache.core.errors import BadInput, Broken, NotFound
from pypicache.core.model import ProjectName
from pypicache.interfaces import IReader
from pypicache.ledger.ledger import Ledger, project_files
from pypicache.store.local import Shelf
from pypicache.tasks import InThread

INDEX = "index.html"
MOST_MEMBERS = 200_000
_BROKEN = (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, LookupError)


def version_order(version: str) -> tuple[int, Version | str]:
    """Orders versions as of PEP 440, and others below all of these."""
    try:
        return (1, Version(version))
    except InvalidVersion:
        return (0, version)


def newest(versions: Iterable[str]) -> str:
    """The newest of some versions."""
    return max(versions, key=_Order)


class _Order:
    def __init__(self, version: str) -> None:
        self.key = version_order(version)

    def __lt__(self, other: _Order) -> bool:
        if self.key[0] != other.key[0]:
            return self.key[0] < other.key[0]
        return bool(self.key[1] < other.key[1])  # type: ignore[operator]  # both are of one type


def is_final(version: str) -> bool:
    """Whether a version is neither a pre-release nor something that PEP 440 does not know."""
    order = version_order(version)[1]
    return isinstance(order, Version) and not order.is_prerelease


def check_zip(stream: BinaryIO) -> None:
    """Look into a ZIP archive, and close it; blocks.

    :raises BadInput: it is none.
    """
    try:
        with stream, ZipFile(stream) as archive:
            if len(archive.namelist()) > MOST_MEMBERS:
                raise BadInput(f"content: the archive has more than {MOST_MEMBERS} members")
    except _BROKEN as error:
        raise BadInput("content: documentation must be a ZIP archive") from error


@frozen
class Page:
    """One file of a documentation."""

    etag: str  # without quotes
    size: int  # bytes
    reader: IReader
    version: str


class Documents:
    """Finds documentation. Nothing is unpacked to disk."""

    def __init__(self, ledger: Ledger, shelf: Shelf, in_thread: InThread) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._in_thread = in_thread

    async def releases(self, index: str, project: ProjectName) -> Mapping[str, FileSaved]:
        """The archives of a project's documentation, by version."""
        stored = await self._ledger.read(lambda connection: project_files(connection, index, project))
        return {file.version: file for file in stored if file.kind == "doczip"}

    async def find(self, index: str, project: ProjectName, version: str) -> FileSaved:
        """The documentation of a version, of the newest one (``latest``), or of the newest final one (``stable``).

        :raises NotFound: there is none.
        """
        found = await self.releases(index, project)
        candidates = list(found)
        if version == "stable" and version not in found:
            candidates = [one for one in found if is_final(one)]
        if version in {"latest", "stable"} and version not in found and candidates:
            version = newest(candidates)
        if version not in found:
            raise NotFound(f"{index} has no documentation of {project} {version}")
        return found[version]

    async def page(self, file: FileSaved, path: str) -> Page:
        """One file of a documentation.

        :param path: as it stands in the address, decoded.
        :raises NotFound: there is none of this name, or the archive has no ``index.html``.
        """
        parts = path.split("/")
        if any(part in {"", ".", ".."} for part in parts) or "\\" in path or "\0" in path:
            raise NotFound(f"{path!r} is no file of a documentation")
        member, size = await self._in_thread(self._open, file, path)
        return Page(file.hashes["sha256"], size, _Member(member, self._in_thread), file.version)

    def _open(self, file: FileSaved, path: str) -> tuple[ZipExtFile, int]:
        try:
            with ZipFile(self._shelf.path(f"{file.index}/{file.path}")) as archive:
                archive.getinfo(INDEX)
                info = archive.getinfo(path)
                member: Any = archive.open(info)  # keeps the file open as long as itself
                return member, info.file_size
        except KeyError:
            raise NotFound(f"the documentation has no file {path!r}") from None
        except _BROKEN as error:
            raise NotFound(f"the documentation cannot be read: {error}") from error


@implementer(IReader)
class _Member:
    """Reads a member of a ZIP archive."""

    def __init__(self, member: ZipExtFile, in_thread: InThread) -> None:
        self._member = member
        self._in_thread = in_thread

    async def read(self, limit: int) -> bytes:
        if not limit:
            return b""  # all of it is there
        try:
            piece: bytes = await self._in_thread(self._member.read, limit)
        except _BROKEN as error:
            raise Broken(f"the documentation cannot be read: {error}") from error
        return piece

    def spooled(self) -> tuple[int, int, int] | None:
        return None

    def advance(self, count: int) -> None:
        raise AssertionError("nothing is spooled")

    def close(self) -> None:
        self._member.close()
