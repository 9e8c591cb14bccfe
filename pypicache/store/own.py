"""Files that are nowhere else: those that users uploaded. They never make way for others."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from twisted.internet.defer import DeferredLock

from pypicache.store.incoming import Incoming, no_room, write_file
from pypicache.store.local import Shelf
from pypicache.tasks import InThread

T = TypeVar("T")
BESIDE = (".metadata", ".provenance")
"""What may lie beside a file, by what its name ends in then; it goes with the file."""


class OwnFiles:
    """Puts uploaded files onto the shelf, and takes them off again.

    ::

        spool --fsync, link--> shelf --> the ledger's transaction commits

    The bytes are on the shelf before the ledger says so. A crash between leaves a file that nothing refers to, never a
    reference to a file that is not there.
    """

    def __init__(self, shelf: Shelf, in_thread: InThread) -> None:
        self.shelf = shelf
        self._in_thread = in_thread
        self._numbers = count()
        self._locks: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()

    def incoming(self, name: str, most: int) -> Incoming:
        """A spool file for what a client sends.

        :raises NoRoom: the disk does not take it.
        """
        return Incoming(self.shelf.spool / f"upload-{next(self._numbers)}", name, most)

    async def alone(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do something with the file of a key while nobody else does: keeping, recording and removing go together."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = DeferredLock()
        await lock.acquire()
        try:
            return await work()
        finally:
            lock.release()

    def keep_now(self, incoming: Incoming, key: str, modified: float, beside: Mapping[str, bytes]) -> None:
        """Put an upload onto the shelf; it survives a power cut from then on. Blocks.

        The upload can be kept again. What lies beside it is put in place of what lies there.

        :param modified: the time to give it, in seconds since the epoch.
        :param beside: contents by what their names end in.
        :raises NoRoom: the disk does not take it.
        """
        spooled = f"{self.shelf.spool}/own-{next(self._numbers)}"
        ends = ["", *beside]
        failed = True
        try:
            incoming.put(spooled)
            for end, content in beside.items():
                write_file(spooled + end, content)
            os.utime(spooled, (modified, modified))
            self.shelf.keep_together(spooled, key, ends)
            failed = False
        except OSError as error:
            raise no_room(error) from error
        finally:
            for end in ends if failed else ends[:1]:  # what lies beside it was moved
                with suppress(OSError):
                    Path(spooled + end).unlink()

    async def put(self, content: bytes, key: str) -> None:
        """Put something small onto the shelf, in place of what is there.

        :raises NoRoom: the disk does not take it.
        """

        def write() -> None:
            self.shelf.path(key).unlink(missing_ok=True)
            self.shelf.write(key, content)

        try:
            await self._in_thread(write)
        except OSError as error:
            raise no_room(error) from error

    async def remove(self, key: str) -> None:
        """Take a file off the shelf, and what lies beside it."""
        await self._in_thread(self.remove_now, key)

    def remove_now(self, key: str) -> None:
        """The same in this thread. Blocks."""
        for end in ("", *BESIDE):
            self.shelf.remove(key + end)

    async def read(self, key: str, most: int) -> bytes | None:
        """The content of a small file; ``None`` if it is not there, or larger."""

        def read() -> bytes | None:
            place: Path = self.shelf.path(key)
            try:
                with place.open("rb") as stream:
                    content = stream.read(most + 1)
            except OSError:
                return None
            return content if len(content) <= most else None

        content: bytes | None = await self._in_thread(read)
        return content
