"""A file that a client sends, on its way into the spool."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from pypicache.core.errors import NoRoom, TooLarge
from pypicache.store.local import FULL


class Incoming:
    """A spool file that is written and hashed while it arrives.

    :param most: bytes that it may have.
    :ivar unsynced: bytes that were written since the last :meth:`sync` began.
    """

    def __init__(self, path: Path, name: str, most: int) -> None:
        self.path = path
        self.name = name  # as the client calls it
        self.size = 0
        self.unsynced = 0
        self._most = most
        self._hashes: dict[str, hashlib._Hash | hashlib.blake2b] = {
            "md5": hashlib.md5(usedforsecurity=False),
            "sha256": hashlib.sha256(),
            "blake2_256": hashlib.blake2b(digest_size=32),
        }
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _no_room(error) from error

    def take(self, piece: bytes) -> None:
        """The next bytes.

        :raises TooLarge: there are more than may be.
        :raises NoRoom: the disk does not take them.
        """
        if self.size + len(piece) > self._most:
            raise TooLarge(f"content: the file may have {self._most} bytes here (max_upload_size)")
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise _no_room(error) from error
        for hashed in self._hashes.values():
            hashed.update(piece)
        self.size += len(piece)
        self.unsynced += len(piece)

    @property
    def digests(self) -> Mapping[str, str]:
        """Lower case hex by the names that the form uses: ``md5``, ``sha256``, ``blake2_256``."""
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}

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


def _no_room(error: OSError) -> Exception:
    return NoRoom(f"the server cannot store this now: {error.strerror}") if error.errno in FULL else error
