"""Which mirrored files leave the shelf when it grows too large, or the disk too full."""

from __future__ import annotations

from twisted.logger import Logger

from pypicache.figures import Figures
from pypicache.memory import Memory
from pypicache.store.local import Shelf
from pypicache.tasks import InThread

RESERVE = 16 * 2**20  # bytes that stay free on the disk, or a twentieth of it where that is less
BATCH = 100  # contents looked at together
SLACK = 0.95  # of the cap; what a sweep goes down to, so that not every file brings a sweep


class Evictor:
    """Removes the files that were not used for the longest time, never one that is in use.

    Equal content under several names is one thing: it goes as a whole or not at all, for only then its space returns.

    :param max_size: bytes that all mirrored files may take; ``None`` for no cap.
    """

    log = Logger()

    def __init__(
        self, shelf: Shelf, memory: Memory, in_thread: InThread, figures: Figures, max_size: int | None
    ) -> None:
        self._shelf = shelf
        self._memory = memory
        self._in_thread = in_thread
        self._figures = figures
        self._sweeping = False
        self.max_size = max_size
        self.files = 0
        self.size = 0  # bytes on disk, as far as known

    async def count(self) -> None:
        """Look up how much there is."""
        self.files, self.size = await self._memory.amount()

    def grew(self, size: int) -> bool:
        """A file of this many bytes was kept; ``True`` if a sweep is due."""
        self.files += 1
        self.size += size
        return self.max_size is not None and self.size > self.max_size

    async def sweep(self) -> None:
        """Go down below the cap, if it was passed."""
        if self.max_size is None or self._sweeping:
            return
        self._sweeping = True
        try:
            await self.count()
            if self.size > self.max_size:
                await self._evict(self.size - int(self.max_size * SLACK))
        finally:
            self._sweeping = False

    async def make_room(self, size: int) -> bool:
        """Tell whether the disk has room for a file of this size; files that were not used lately make way for it."""
        missing = self._missing(size)
        if missing <= 0:
            return True
        await self._evict(missing)
        return self._missing(size) <= 0

    def _missing(self, size: int) -> int:
        free, whole = self._shelf.room()
        return size + min(RESERVE, whole // 20) - free

    async def _evict(self, wanted: int) -> None:
        """Remove the oldest contents until that many bytes are free."""
        freed = files = 0
        after = (-1.0, "")
        while freed < wanted:
            contents = await self._memory.oldest(after, BATCH)
            if not contents:
                break
            for content in contents:
                after = (content.used, content.sha256)
                held = await self._memory.held_with(content.sha256)
                keys = [file.key for file in held]
                if any(file.made or self._shelf.in_use(file.key) for file in held):
                    continue
                await self._in_thread(self._remove, keys)
                await self._memory.drop(keys)
                freed += content.size
                files += len(keys)
                if freed >= wanted:
                    break
        self._figures.evicted_files += files
        self._figures.evicted_bytes += freed
        await self.count()
        self.log.info("{files} files that were not used lately left the cache, {freed} bytes", files=files, freed=freed)

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            self._shelf.remove(key)
