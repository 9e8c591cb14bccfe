"""A file that a client sends: small ones wait in memory until they are wanted, large ones go into the spool."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pypicache.core.errors import NoRoom, TooLarge
from pypicache.store.local import FULL

IN_MEMORY = 128 * 1024  # bytes of a file that needs no spool file before it was checked


class Incoming:
    """A file that is hashed, and if it is large written to the spool, while it arrives.

    :param path: of the spool file.
    :param most: bytes that it may have.
    :ivar unsynced: bytes that were written to the spool since the last :meth:`sync` began.
    """

    def __init__(self, path: Path, name: str, most: int) -> None:
        self.path = path
        self.name = name  # as the client calls it
        self.size = 0
        self.unsynced = 0
        self._most = most
        self._memory: bytearray | None = bytearray()  # None: it is in the spool
        self._descriptor = -1
        self._hashes: dict[str, hashlib._Hash | hashlib.blake2b] = {
            "md5": hashlib.md5(usedforsecurity=False),
            "sha256": hashlib.sha256(),
            "blake2_256": hashlib.blake2b(digest_size=32),
        }
        self._hashed = 0  # bytes

    def take(self, piece: bytes) -> None:
        """The next bytes.

        :raises TooLarge: there are more than may be.
        :raises NoRoom: the disk does not take them.
        """
        if self.size + len(piece) > self._most:
            raise TooLarge(f"content: the file may have {self._most} bytes here (max_upload_size)")
        self.size += len(piece)
        if self._memory is not None:
            self._memory += piece
            if self.size <= IN_MEMORY:
                return
            piece, self._memory = bytes(self._memory), None
        try:
            if self._descriptor < 0:
                self._descriptor = _made(self.path)
            _write(self._descriptor, piece)
        except OSError as error:
            raise no_room(error) from error
        self._hash(piece)
        self.unsynced += len(piece)

    def _hash(self, piece: bytes | bytearray) -> None:
        for hashed in self._hashes.values():
            hashed.update(piece)
        self._hashed += len(piece)

    @property
    def digests(self) -> Mapping[str, str]:
        """Lower case hex by the names that the form uses: ``md5``, ``sha256``, ``blake2_256``."""
        if self._memory is not None and self._hashed != self.size:
            self._hash(memoryview(self._memory)[self._hashed :])  # type: ignore[arg-type]  # a buffer like any other
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

    def open(self) -> BinaryIO:
        """What came so far, to be read. Blocks."""
        return self.path.open("rb") if self._memory is None else BytesIO(self._memory)

    def put(self, place: str) -> None:
        """Give the file another name in the spool, that of a file of its own. Blocks.

        :raises OSError: the disk does not take it.
        """
        if self._memory is None:
            os.link(self.path, place)
        else:
            write_file(place, self._memory)

    @property
    def is_small(self) -> bool:
        """Whether it waits in memory."""
        return self._memory is not None

    def settle(self) -> None:
        """Bring to the disk what is in the spool, so that little is left to do when it is kept. Blocks.

        :raises NoRoom: the disk does not take it.
        """
        if self._descriptor >= 0:
            try:
                self.sync(self.begin_sync())
            except OSError as error:
                raise no_room(error) from error

    def begin_sync(self) -> int:
        """Take what was written so far as about to be synced; the answer is for :meth:`sync`."""
        self.unsynced = 0
        return os.dup(self._descriptor)  # the client may leave while the disk is busy

    @staticmethod
    def sync(descriptor: int) -> None:
        """Bring to the disk what was written. Blocks, and closes the descriptor."""
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Close the file, and remove it from the spool if it is still there. Calling it twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self.path.unlink(missing_ok=True)


def write_file(place: str, content: bytes | bytearray) -> None:
    """Make a file in the spool. Blocks.

    :raises OSError: the disk does not take it.
    """
    descriptor = _made(place)
    try:
        _write(descriptor, content)
        # The content is sent to the disk without waiting for it, so that the disk has several files at once when they
        # are synced together; nothing is dropped that is not there yet.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _made(path: Path | str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _write(descriptor: int, content: bytes | bytearray) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def no_room(error: OSError) -> Exception:
    """What a client is told of an error of the disk: that it is full, or else the error."""
    return NoRoom(f"the server cannot store this now: {error.strerror}") if error.errno in FULL else error
