"""Bytes that no index lists: left by a crash between putting a file on the shelf and recording it, or the other way
round when it was deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypicache.ledger.ledger import Decision, Ledger, all_indexes, begun, file_at, index_options, index_paths
from pypicache.store.local import Shelf
from pypicache.store.own import BESIDE
from pypicache.tasks import InThread, Tasks, pause

EVERY = 86_400.0  # seconds between two looks
AGE = 7 * 86_400.0  # seconds after which a stray is removed: time to put back a ledger of which the newest part is lost
MOST = 100  # strays that are removed without being told to; no crash leaves more
AT_ONCE = 50  # strays removed in one transaction; whoever wants to record something waits for as long

_OURS = re.compile(r"(\+f/[0-9a-f]{3}/[0-9a-f]{13}|\+e/[^/]+)/[^/]+")


@frozen(kw_only=True)
class Stray:
    """A file on the shelf that no index lists."""

    key: str
    size: int  # bytes
    written: float  # when its bytes were written, in seconds since the epoch
    placed: float  # when it got its last name, in seconds since the epoch; a push gives old bytes a new one


def find(ledger: Ledger, shelf: Shelf) -> list[Stray]:
    """All strays of private indexes, and of indexes that there are no more. Blocks.

    What mirrors hold is a cache, and kept in order elsewhere.
    """
    found = []
    types = {name: options.get("type") for name, options in ledger.read_now(all_indexes).items()}
    for name in shelf.indexes():
        if types.get(name) == "mirror":
            continue
        # First the disk, then the ledger: what is recorded meanwhile is no stray.
        keys = [key for key in shelf.walk(name) if _OURS.fullmatch(key.removeprefix(name + "/"))]
        listed = ledger.read_now(partial(index_paths, index=name))
        found += [stray for key in keys if listed.isdisjoint(_paths(key)) and (stray := look(shelf, key)) is not None]
    return found


def look(shelf: Shelf, key: str) -> Stray | None:
    """What the disk says of a file; ``None``: it is not there."""
    try:
        status = shelf.path(key).stat()
    except OSError:
        return None
    return Stray(key=key, size=status.st_size, written=status.st_mtime, placed=max(status.st_mtime, status.st_ctime))


def removal(shelf: Shelf, strays: Sequence[Stray], before: float) -> Callable[[Any], Decision[int]]:
    """Removes strays inside a transaction, and counts them; one that was put there again or recorded stays.

    :param before: those that were placed later stay, in seconds since the epoch: an upload may be about to record them.
    """

    def decide(connection: Any) -> Decision[int]:
        count = 0
        for key in (stray.key for stray in strays):
            name = "/".join(key.split("/", 2)[:2])
            now = look(shelf, key)
            if (
                now is not None
                and now.placed <= before
                and (index_options(connection, name) or {}).get("type") != "mirror"
                and all(file_at(connection, name, path) is None for path in _paths(key))
            ):
                shelf.remove(key)
                count += 1
        return Decision((), count)

    return decide


def _paths(key: str) -> set[str]:
    """What is listed if this file is no stray: itself, or the file beside which it lies."""
    path = key.split("/", 2)[2]
    return {path, *(path.removesuffix(end) for end in BESIDE)}


class Strays:
    """Looks for strays after the start, and then daily; removes those that are old enough."""

    log = Logger()

    def __init__(self, ledger: Ledger, shelf: Shelf, *, clock: IReactorTime, in_thread: InThread, tasks: Tasks) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._clock = clock
        self._in_thread = in_thread
        self._tasks = tasks

    def start(self) -> None:
        """Begin."""
        self._tasks.start(self._daily(), "looking for files that no index lists")

    async def _daily(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                self.log.failure("looking for files that no index lists failed")
            await pause(self._clock, EVERY)

    async def sweep(self) -> None:
        """Look for strays once.

        Those that are older than the ledger itself are not from a crash: the ledger was lost, or is the wrong one.
        """
        found: list[Stray] = await self._in_thread(find, self._ledger, self._shelf)
        if not found:
            return
        first = await self._ledger.read(begun)
        since = datetime.fromisoformat(first).timestamp() if first is not None else float("inf")
        before = self._clock.seconds() - AGE
        old = [stray for stray in found if stray.placed <= before and stray.written >= since]
        count = 0
        if len(old) <= MOST:
            for start in range(0, len(old), AT_ONCE):
                count += await self._ledger.change(
                    removal(self._shelf, old[start : start + AT_ONCE], before), alone=True
                )
        self.log.warn(
            "{found} files on disk were in no index, and {count} of them were removed; pypicache fsck names the rest",
            found=len(found), count=count,
        )  # fmt: skip
