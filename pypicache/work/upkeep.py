"""What the daemon does by the clock: keep pages fresh, write down what was used, keep the shelf in order."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from hashlib import sha256
from itertools import islice
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypicache.core.dist import projects_of
from pypicache.core.model import ProjectName
from pypicache.index.catalog import Catalog
from pypicache.index.mirror import Mirror
from pypicache.memory import Held, Memory
from pypicache.store.eviction import Evictor
from pypicache.store.library import Library
from pypicache.store.local import Shelf
from pypicache.tasks import InThread, Tasks

AT_ONCE = 8  # revalidations under way together
MOST = 500  # pages looked at per round
EARLIEST, LATEST = 0.6, 0.9  # the share of its expiry after which a page is revalidated; where between is its own
WRITE_EVERY = 20.0  # seconds between two notes of what was used
BATCH = 200  # files read in together while the shelf is walked
METADATA = ".metadata"


def due(project: str, checked: float, expiry: float) -> float:
    """When a page is to be revalidated, in seconds since the epoch: some time before it expires, not all at once."""
    share = crc32(project.encode()) / 2**32
    return checked + expiry * (EARLIEST + (LATEST - EARLIEST) * share)


class Upkeep:
    """The chores. One that fails is logged and runs again.

    :param refresh_ahead: pages that were used within so many seconds are kept fresh; 0 turns that off.
    """

    log = Logger()

    def __init__(
        self,
        *,
        catalog: Catalog,
        library: Library,
        evictor: Evictor,
        shelf: Shelf,
        memory: Memory,
        clock: IReactorTime,
        in_thread: InThread,
        tasks: Tasks,
        refresh_ahead: float,
    ) -> None:
        self._catalog = catalog
        self._library = library
        self._evictor = evictor
        self._shelf = shelf
        self._memory = memory
        self._clock = clock
        self._in_thread = in_thread
        self._tasks = tasks
        self._refresh_ahead = refresh_ahead
        self._places = DeferredSemaphore(AT_ONCE)
        self._loops: list[LoopingCall] = []
        library.kept.append(self._grew)

    def start(self) -> None:
        """Begin: put the shelf in order once, then do the chores by the clock."""
        self._tasks.start(self.put_in_order(), "walking the shelf")
        self._every(WRITE_EVERY, self.write_used)
        if self._refresh_ahead:
            shortest = min((mirror.expiry for mirror in self._catalog.mirrors() if mirror.expiry), default=900.0)
            self._every(min(max(shortest / 30, 1.0), 30.0), self.freshen_all)

    def _every(
        self, seconds: float, chore: Callable[..., Coroutine[Deferred[Any], Any, None]], *arguments: object
    ) -> None:
        def run() -> Deferred[None]:
            done: Deferred[None] = Deferred.fromCoroutine(chore(*arguments))
            return done.addErrback(self._chore_failed)

        loop = LoopingCall(run)
        loop.clock = self._clock
        loop.start(seconds, now=False)
        self._loops.append(loop)

    def _chore_failed(self, failure: Failure) -> None:
        self.log.failure("a chore failed", failure)

    async def stop(self) -> None:
        """End the chores, and write down what was used."""
        for loop in self._loops:
            loop.stop()
        await self.write_used()

    # -- freshness -------------------------------------------------------------------------------------------------

    async def freshen_all(self) -> None:
        """Revalidate the pages of all mirrors."""
        for mirror in self._catalog.mirrors():
            if mirror.expiry:
                await self.freshen(mirror)

    async def freshen(self, mirror: Mirror) -> None:
        """Revalidate the pages of a mirror that clients use and that expire soon."""
        now = self._clock.seconds()
        await self.write_used()
        pages = await self._memory.pages_used(
            mirror.name, now - mirror.expiry * EARLIEST, now - self._refresh_ahead, MOST
        )
        for project, checked in pages:
            # What expired long ago is left to the next client: the upstream was away, or we were.
            if due(project, checked, mirror.expiry) <= now < checked + 2 * mirror.expiry:
                await self._places.acquire()
                self._tasks.start(self._freshen(mirror, project), f"refreshing {project}")

    async def _freshen(self, mirror: Mirror, project: str) -> None:
        try:
            await mirror.refresh_ahead(ProjectName(project))
        finally:
            self._places.release()

    async def write_used(self) -> None:
        """Write down what was used since the last time."""
        pages = []
        for mirror in self._catalog.mirrors():
            used, mirror.used = mirror.used, {}
            pages += [(when, mirror.name, project) for project, when in used.items()]
        files, self._library.used = self._library.used, {}
        if pages or files:
            await self._memory.note_used(pages, [(when, key) for key, when in files.items()])

    # -- the shelf -------------------------------------------------------------------------------------------------

    def _grew(self, held: Held) -> None:
        if self._evictor.grew(held.size):
            self._tasks.start(self.sweep(), "making room in the cache")

    async def sweep(self) -> None:
        """Go down below the cap, if it was passed."""
        await self.write_used()
        await self._evictor.sweep()

    async def put_in_order(self) -> None:
        """Make memory and shelf agree: read in files that are not remembered, forget those that are not there.

        Only the files of mirrors are a cache. What lies in other directories was uploaded, and is never touched here.
        Files whose bytes are not what their path says are removed.
        """
        remembered = await self._memory.keys()
        mirrors = {mirror.name for mirror in self._catalog.mirrors()}
        on_shelf: set[str] = await self._in_thread(
            lambda: {key for key in self._shelf.walk() if "/".join(key.split("/", 2)[:2]) in mirrors}
        )
        await self._memory.drop(remembered - on_shelf)
        missing = iter(sorted(on_shelf - remembered))
        count = 0
        while batch := list(islice(missing, BATCH)):
            found: list[Held] = await self._in_thread(self._read_in, batch)
            await self._memory.hold(found)
            count += len(found)
        await self._evictor.count()
        if count:
            self.log.info("{count} files were found on disk and are used again", count=count)
        await self.sweep()

    def _read_in(self, keys: list[str]) -> list[Held]:
        found = []
        for key in keys:
            parts = key.split("/")
            if (len(parts), *parts[2:3]) not in {(6, "+f"), (5, "+e")} or not key.isprintable():
                self.log.warn("{key!r} is none of our files, and is left alone", key=key)
                continue
            projects = projects_of(parts[-1].removesuffix(METADATA))
            digest = sha256()
            size = 0
            try:
                with self._shelf.path(key).open("rb") as stream:
                    while piece := stream.read(2**20):
                        digest.update(piece)
                        size += len(piece)
                modified = self._shelf.path(key).stat().st_mtime
            except OSError as error:
                self.log.warn("{key} cannot be read: {why}", key=key, why=str(error))
                continue
            made = key.endswith(METADATA)
            if not projects or (parts[2] == "+f" and not made and not self._plausible(parts, digest.hexdigest())):
                self.log.error("{key} is not what its path says, and is removed", key=key)
                self._shelf.remove(key)
                continue
            found.append(
                Held(key=key, project=projects[0], sha256=digest.hexdigest(), size=size, made=made, used=modified)
            )
        return found

    @staticmethod
    def _plausible(parts: list[str], sha256_digest: str) -> bool:
        # The directories may come from another algorithm, where the index gives no sha256; that cannot be told here,
        # and such files are read again from the upstream, at the price of one more download.
        return parts[3] + parts[4] == sha256_digest[:16]
