"""Files that are nowhere else: those that users uploaded. They never make way for others."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from attrs import frozen
from twisted.internet.defer import DeferredLock

from pypicache.store.incoming import Incoming, no_room, write_file
from pypicache.store.local import Shelf
from pypicache.tasks import InThread

T = TypeVar("T")
BESIDE = (".metadata", ".provenance")
"""What may lie beside a file, by what its name ends in then; it goes with the file."""


@frozen
class Arrival:
    """An upload that is to be put onto the shelf."""

    incoming: Incoming
    key: str
    modified: float  # the time to give it, in seconds since the epoch
    beside: Mapping[str, bytes]  # contents of what lies beside it, by what their names end in


class OwnFiles:
    """Puts uploaded files onto the shelf, and takes them off again.

    ::

        spool --fsync, rename--> shelf --> the ledger's transaction commits

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

    def keep(self, arrivals: Sequence[Arrival]) -> None:
        """Put uploads onto the shelf; they survive a power cut from then on. Blocks.

        Each can be kept again.

        :raises NoRoom: the disk does not take them; some may be there all the same.
        """
        files: list[tuple[str, str]] = []
        left: list[str] = []  # what a move leaves where it was, because the very same file is there already
        try:
            for arrival in arrivals:
                spooled = f"{self.shelf.spool}/own-{next(self._numbers)}"
                files.append((spooled, arrival.key))
                arrival.incoming.put(spooled)
                if not arrival.incoming.is_small:
                    left.append(spooled)
                os.utime(spooled, (arrival.modified, arrival.modified))
                for end, content in arrival.beside.items():
                    files.append((spooled + end, arrival.key + end))
                    write_file(spooled + end, content)
            self.shelf.keep_together(files)
        except OSError as error:
            left = [spooled for spooled, _ in files]
            raise no_room(error) from error
        finally:
            for spooled in left:
                with suppress(OSError):
                    Path(spooled).unlink()

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
