"""Takes the bytes of what was deleted off the disk, after the commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Any

from pypicache.core.changes import FileGone, IndexGone
from pypicache.ledger.ledger import Decision, Ledger, Recorded, file_at
from pypicache.memory import Held, Memory
from pypicache.store.eviction import Evictor
from pypicache.store.own import OwnFiles
from pypicache.tasks import InThread, Tasks

AT_ONCE = 50  # files removed in one transaction; whoever wants to record something waits for as long


class Clearing:
    """Follows the ledger. Bytes go when no row of the ledger has their path any more.

    They go inside a transaction, as pushes link theirs inside one, and as uploads look inside one whether theirs are
    there: so whoever puts the same path back at the same time comes either before, and keeps the bytes, or after, and
    brings its own.

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
        for some in _batches(keys):
            await self._ledger.change(partial(self._unlisted, some), alone=True)

    def _unlisted(self, keys: Iterable[tuple[str, str]], connection: Any) -> Decision[None]:
        for index, path in keys:
            if file_at(connection, index, path) is None:
                self._own.remove_now(f"{index}/{path}")
        return Decision((), None)

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


def _batches(keys: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    rest = iter(keys)
    while some := list(islice(rest, AT_ONCE)):
        yield some
