"""Where the bytes of a download are until they are on the shelf: in memory if they are few, or else in a file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SMALL = 256 * 2**10  # bytes; what is larger goes to the disk as it comes
ALLOWED = 16 * 2**20  # bytes that all downloads together may have in memory


class Allowance:
    """Bytes of memory that downloads may take."""

    def __init__(self, most: int = ALLOWED) -> None:
        self.left = most

    def take(self, size: int) -> bool:
        """Take so much, if it is there."""
        if size > self.left:
            return False
        self.left -= size
        return True


class Spool:
    """The bytes of one download so far; they are only ever appended.

    :param path: of the file, which is made when it is needed.
    :ivar content: the bytes, as long as they are in memory.
    """

    def __init__(self, path: Path, allowance: Allowance) -> None:
        self.path = path
        self.content: bytearray | None = None
        self.descriptor: int | None = None
        self._allowance = allowance
        self._reserved = 0

    def begin(self, size: int | None) -> None:
        """Be ready for a file of this many bytes; ``None``: nobody knows how many.

        :raises OSError: the disk takes no file.
        """
        if self.content is not None or self.descriptor is not None:
            return
        if size is not None and size <= SMALL and self._allowance.take(size):
            self._reserved = size
            self.content = bytearray()
        else:
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes, at: int) -> None:
        """Append the bytes whose place is ``at``.

        :raises OSError: the disk takes no more.
        """
        if self.content is not None:
            self.content += data
            return
        assert self.descriptor is not None
        view = memoryview(data)
        while view:
            written = os.pwrite(self.descriptor, view, at)
            view, at = view[written:], at + written

    def read(self, count: int, at: int) -> bytes:
        """Bytes that are here."""
        if self.content is not None:
            return bytes(memoryview(self.content)[at : at + count])
        assert self.descriptor is not None
        return os.pread(self.descriptor, count, at)

    @property
    def readable(self) -> bool:
        """Whether anything can be read."""
        return self.content is not None or self.descriptor is not None

    def unlink(self) -> None:
        """Remove the file's name, if it still has one."""
        if self.descriptor is not None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of everything."""
        self.content = None
        self._allowance.left += self._reserved
        self._reserved = 0
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
