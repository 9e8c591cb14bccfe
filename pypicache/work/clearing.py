"""Takes the bytes of what was deleted off the disk, after the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import rmtree

from pypicache.core.changes import FileGone, IndexGone
from pypicache.ledger.ledger import Ledger, Recorded, file_at
from pypicache.memory import Held, Memory
from pypicache.store.eviction import Evictor
from pypicache.store.own import OwnFiles
from pypicache.tasks import InThread, Tasks


class Clearing:
    """Follows the ledger. Bytes go when no row of the ledger has their path any more.

    An upload that puts the same path back at the same time comes either before, and keeps the bytes, or after, and
    brings its own: :meth:`OwnFiles.alone` sees to that.

    :param lists: where the project lists of indexes are.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        own: OwnFiles,
        memory: Memory,
        evictor: Evictor,
        in_thread: InThread,
        tasks: Tasks,
        lists: Path,
    ) -> None:
        self._ledger = ledger
        self._own = own
        self._memory = memory
        self._evictor = evictor
        self._in_thread = in_thread
        self._tasks = tasks
        self._lists = lists
        ledger.listeners.append(self.follow)

    def follow(self, recorded: Recorded) -> None:
        """Begin to remove what was deleted."""
        keys = []
        for change in recorded.changes:
            if isinstance(change, FileGone):
                keys.append((change.index, change.path))
            elif isinstance(change, IndexGone):
                self._tasks.start(self._index(change.name), f"removing the cached files of {change.name}")
        if keys:
            self._tasks.start(self._files(keys), "removing deleted files from disk")

    async def _files(self, keys: Iterable[tuple[str, str]]) -> None:
        for index, path in keys:
            await self._own.alone(f"{index}/{path}", lambda index=index, path=path: self._file(index, path))  # type: ignore[misc]

    async def _file(self, index: str, path: str) -> None:
        if await self._ledger.read(lambda connection: file_at(connection, index, path)) is None:
            await self._own.remove(f"{index}/{path}")

    async def _index(self, name: str) -> None:
        held = await self._memory.held_in(name)
        await self._memory.forget_index(name)
        await self._files([(name, file.key.removeprefix(name + "/")) for file in held])
        await self._evictor.count()
        await self._in_thread(rmtree, self._lists / name, True)

    async def cached(self, held: Sequence[Held]) -> None:
        """Remove files of mirrors, which can be fetched again."""
        for file in held:
            await self._in_thread(self._own.shelf.remove, file.key)
        await self._memory.drop([file.key for file in held])
        await self._evictor.count()
