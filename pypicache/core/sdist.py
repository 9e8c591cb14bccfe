"""Source archives: the PKG-INFO inside, read without unpacking anything to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from io import BufferedIOBase
from typing import BinaryIO

from pypicache.core.dist import MOST_METADATA, archive_member
from pypicache.core.errors import BadInput

MOST_UNPACKED = 512 * 2**20  # bytes of an archive that are decompressed in search of PKG-INFO
BLOCK = 512
PKG_INFO = r"[^/]+/PKG-INFO"
TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar")


def sdist_metadata(stream: BinaryIO, file_name: str) -> bytes | None:
    """The PKG-INFO of a source archive, byte for byte.

    ``None`` if there is none, or none near enough to its beginning. Of a tar archive only the headers are read, each
    of them once, so that none of the sizes that it claims takes memory.

    :param stream: open for reading; must be seekable.
    :raises BadInput: the archive is broken.
    """
    if file_name.lower().endswith(".zip"):
        found = archive_member(stream, PKG_INFO)
        if found is None:
            raise BadInput(f"content: {file_name} is not a readable ZIP archive")
        return found or None
    import tarfile  # here and below, because few daemons look into archives

    try:
        with _unpacked(stream, file_name) as unpacked:
            return _find(unpacked)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise BadInput(f"content: {file_name} is not a readable tar archive") from error


def _unpacked(stream: BinaryIO, file_name: str) -> BufferedIOBase | BinaryIO:
    lower = file_name.lower()
    if lower.endswith((".tar.gz", ".tgz")):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if lower.endswith(".bz2"):
        return bz2.BZ2File(stream, "rb")
    return stream


def _find(unpacked: BufferedIOBase | BinaryIO) -> bytes | None:
    import tarfile

    read = 0
    members = 0
    while read < MOST_UNPACKED:
        header = unpacked.read(BLOCK)
        read += BLOCK
        if not header.strip(b"\0"):
            if not members and not header:
                raise tarfile.ReadError("empty")
            return None
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        members += 1
        size = -(-max(0, member.size) // BLOCK) * BLOCK
        if member.isreg() and member.name.count("/") == 1 and member.name.endswith("/PKG-INFO"):
            return _whole(unpacked, member.size) if member.size <= MOST_METADATA else None
        while size > 0 and read < MOST_UNPACKED:
            piece = unpacked.read(min(size, 2**16))
            if not piece:
                raise EOFError
            size -= len(piece)
            read += len(piece)
    return None


def _whole(unpacked: BufferedIOBase | BinaryIO, size: int) -> bytes:
    content = unpacked.read(size)
    if len(content) != size:
        raise EOFError
    return content
