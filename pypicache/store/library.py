"""Where files are had from: the shelf, a download under way, or the upstream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from pypicache.calm import WhenCalm
from pypicache.core.errors import Offline
from pypicache.core.model import File, ProjectName
from pypicache.core.spec import UpstreamURL
from pypicache.figures import Figures
from pypicache.interfaces import IBody, IReader
from pypicache.memory import Held, Memory
from pypicache.store.bodies import KeptBody, etag_of, http_seconds, uploaded
from pypicache.store.checking import Check
from pypicache.store.download import FAR, Download
from pypicache.store.eviction import Evictor
from pypicache.store.local import FULL, Found, Kept, Shelf
from pypicache.store.spool import ALLOWED, SMALL, Allowance, Spool
from pypicache.store.through import Through
from pypicache.tasks import InThread, Tasks
from pypicache.together import Together
from pypicache.upstream.client import Upstream

FULL_FOR = 30.0  # seconds during which a full disk is not tried again


class Library:
    """Opens the files of mirrored indexes.

    :ivar kept: told about every file that came onto the shelf.
    :ivar used: when files were last used, by key, as far as that is not written down yet.
    """

    log = Logger()

    def __init__(
        self,
        *,
        shelf: Shelf,
        memory: Memory,
        upstream: Upstream,
        evictor: Evictor,
        clock: IReactorTime,
        in_thread: InThread,
        figures: Figures,
        tasks: Tasks,
        when_calm: WhenCalm,
    ) -> None:
        self.shelf = shelf
        self.memory = memory
        self.upstream = upstream
        self.clock = clock
        self.figures = figures
        self._evictor = evictor
        self._in_thread = in_thread
        self._tasks = tasks
        self._when_calm = when_calm
        self._together = Together(in_thread)
        self._allowance = Allowance()
        self._waiting: dict[str, Deferred[None]] = {}  # files that wait for a calm moment to be kept
        self._numbers = count()
        self._full_until = 0.0
        self.downloads: dict[str, Download] = {}
        self.used: dict[str, float] = {}
        self.kept: list[Callable[[Held], None]] = []

    @property
    def disk_full(self) -> bool:
        """Whether files are passed through without being stored, for want of room."""
        return self.clock.seconds() < self._full_until

    def open(self, key: str, project: ProjectName, file: File, login: UpstreamURL | None) -> IBody:
        """A body of one listed file. Nothing is asked of the upstream before it is read or measured.

        :param key: of the shelf; the URL path without the leading slash.
        :param login: the credentials of the index that lists the file.
        """
        kept = self.take(key)
        if kept is None:
            return ComingBody(self, key, project, file, login)
        return KeptBody(self.shelf, kept, file, self.figures)

    def take(self, key: str) -> Kept | None:
        """Open a file that is held, for somebody who gives it back by ``shelf.close``; ``None`` if it is not."""
        kept = self.shelf.open(key)
        if kept is not None:
            self.note_use(key, 1)
        return kept

    def look(self, key: str) -> Found | None:
        """Find a file that is held, for somebody who sends it; ``None`` if it is not."""
        found = self.shelf.look(key)
        if found is not None:
            self.note_use(key, 1)
        return found

    def fresh(self, key: str) -> bytes | None:
        """All of a small file that came just now and was found right; the disk is about to have it."""
        download = self.downloads.get(key)
        if download is None or not download.complete or download.spool.content is None:
            return None
        content = bytes(download.spool.content)
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.called:
            waiting.cancel()  # it is wanted again: better to have it where all of us find it
        self.figures.file_hits += 1
        return content

    def note_use(self, key: str, times: int) -> None:
        """A held file was sent to clients."""
        self.used[key] = self.clock.seconds()
        self.figures.file_hits += times

    async def borrow(self, key: str, project: ProjectName, file: File) -> bool:
        """Take over the same content from another index, if there is any; ``True`` if it is held now."""
        sha256 = file.hashes.get("sha256")
        others = [] if sha256 is None else await self.memory.held_with(sha256)
        for other in others:
            if self.shelf.holds(key):  # a download ended while we looked
                return True
            if other.key != key and await self._in_thread(self.shelf.link, other.key, key):
                self._evictor.size -= other.size  # a second name takes no room
                await self._note(Held(key=key, project=project, sha256=other.sha256, size=other.size))
                return True
        return self.shelf.holds(key)

    async def download(self, key: str, project: ProjectName, file: File, login: UpstreamURL | None) -> Download:
        """The download of a file that is not held: the one under way, or a new one.

        The caller is among its readers already, so that nothing is closed before it reads; it has to leave.
        """
        under_way = self.downloads.get(key)
        if under_way is not None:
            self.figures.file_hits += 1
            under_way.enter()
            return under_way
        if self.upstream.offline:
            raise Offline(f"{file.name} is not held, and the server runs offline")
        self.figures.file_misses += 1
        download = Download(
            key=key,
            file=file,
            login=login,
            upstream=self.upstream,
            clock=self.clock,
            spool=Spool(self.shelf.spool / f"{next(self._numbers)}-{file.name[-100:]}", self._allowance),
            room=self._evictor.make_room,
            keep=lambda complete: self._keep(complete, project),
            full=self._note_full,
        )
        download.enter()
        self.downloads[key] = download
        self._tasks.start(self._run(download), f"the download of {key}")
        return download

    async def obtain(self, key: str, project: ProjectName, file: File, login: UpstreamURL | None) -> bool:
        """Bring a file onto the shelf; ``False`` if it cannot be stored.

        :raises PypicacheError: it cannot be had.
        """
        if self.shelf.holds(key) or await self.borrow(key, project, file):
            return True
        download = await self.download(key, project, file, login)
        try:
            while not download.ended:
                await download.changed.wait()
        finally:
            download.leave()
        if download.failure is not None:
            raise download.failure
        return self.shelf.holds(key)

    async def _run(self, download: Download) -> None:
        try:
            await download.run()
        finally:
            self.downloads.pop(download.key, None)

    async def _keep(self, download: Download, project: ProjectName) -> None:
        modified = uploaded(download.file) or http_seconds(download.modified)
        try:
            content = download.spool.content
            if content is None:
                keep = partial(self.shelf.keep, replaceable=True)
                await self._in_thread(keep, download.spool.path, download.key, modified)
            else:
                await self._calm(download.key)
                await self._together(self.shelf.place, download.spool.path, content, download.key, modified)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._note_full(error)
            return
        held = Held(key=download.key, project=project, sha256=download.check.sha256, size=download.check.size)
        await self._note(held)

    async def _calm(self, key: str) -> None:
        """Wait until there is little to do, unless much waits already, the file is wanted again, or the daemon ends."""
        if self._allowance.left > ALLOWED // 2:
            self._waiting[key] = self._when_calm()
            try:
                with suppress(CancelledError):
                    await self._waiting[key]
            finally:
                del self._waiting[key]

    async def put(self, key: str, project: ProjectName, content: bytes) -> None:
        """Put something that we made ourselves onto the shelf; a full disk does without."""
        spooled = self.shelf.spool / f"{next(self._numbers)}-made"
        check = Check(File(name="made", url="", hashes={}))
        check.take(content)

        try:
            await self._together(self.shelf.place, spooled, content, key, None)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._note_full(error)
            return
        await self._note(Held(key=key, project=project, sha256=check.sha256, size=len(content), made=True))

    async def _note(self, held: Held) -> None:
        now = self.clock.seconds()
        held = Held(key=held.key, project=held.project, sha256=held.sha256, size=held.size, made=held.made, used=now)
        await self.memory.hold([held])
        for told in self.kept:
            told(held)

    def _note_full(self, error: OSError) -> None:
        if not self.disk_full:
            self.log.error("the disk takes no more files, they are passed through: {why}", why=str(error))
        self._full_until = self.clock.seconds() + FULL_FOR


@implementer(IBody)
class ComingBody:
    """A file that is not held. Nothing is asked before somebody reads."""

    def __init__(self, library: Library, key: str, project: ProjectName, file: File, login: UpstreamURL | None) -> None:
        self.library = library
        self.size = file.size
        self.etag = etag_of(file)
        self.modified = uploaded(file)
        self._key = key
        self._project = project
        self._file = file
        self._login = login
        self._joined: Download | None = None

    async def measure(self) -> None:
        if self.size is not None:
            return
        download = await self._download()
        try:
            while download.size is None and not (download.complete or download.overflowed or download.failure):
                await download.changed.wait()
        finally:
            download.leave()
        if download.failure is not None:
            raise download.failure
        self.size = download.arrived if download.complete else download.size

    async def content(self) -> bytes | None:
        """All of a small file, as soon as it was found right, though it may not be on the disk yet.

        :return: ``None`` if it is better read piece by piece.
        :raises PypicacheError: it cannot be had.
        """
        small = self.size is None or self.size <= SMALL
        if not small or self.library.disk_full or await self.library.borrow(self._key, self._project, self._file):
            return None
        download = await self._download()
        try:
            while not (download.complete or download.overflowed or download.failure or download.spool.descriptor):
                await download.changed.wait()
            if download.failure is not None:
                raise download.failure
            content = download.spool.content if download.complete else None
            return None if content is None else bytes(content)
        finally:
            download.leave()

    def reader(self, first: int, end: int | None) -> IReader:
        return _Coming(self, first, end)

    def close(self) -> None:
        pass

    async def find(self, first: int, end: int | None) -> IReader:
        """The reader that gives the bytes: the best way to have them, decided now."""
        library = self.library
        ranges = True
        if self._key not in library.downloads:
            if await library.borrow(self._key, self._project, self._file):
                kept = library.open(self._key, self._project, self._file, self._login)
                return _Closing(kept, first, end)
            if (
                self._key not in library.downloads
                and (library.disk_full or first > FAR)
                and not library.upstream.offline
            ):
                through = await self._through(first, end)
                if through is not None:
                    return through
                ranges = False
        download = await self._download()
        download.ranges = download.ranges and ranges
        reader = download.reader(first, end)
        download.leave()
        return reader

    async def _download(self) -> Download:
        self._joined = await self.library.download(self._key, self._project, self._file, self._login)
        return self._joined

    async def _through(self, first: int, end: int | None) -> IReader | None:
        """The bytes straight from the upstream, unstored; ``None`` if they are better had by storing them."""
        library = self.library
        whole = first == 0 and end in {None, self.size}
        until = None if whole else end
        answer = await library.upstream.stream(self._file.url, self._login, first=first, end=until)
        begins = answer.status == 206 and answer.span is not None and answer.span[0] == first
        if not begins and (answer.status == 206 or not library.disk_full):
            answer.abort()
            return None
        library.figures.file_misses += 1
        self.size = self.size if answer.total is None else answer.total
        wanted = None if until is None else until - first
        if begins:
            return Through(answer, end=wanted)
        return Through(answer, skip=first, end=wanted, check=Check(self._file) if whole else None, length=self.size)

    def learn(self) -> None:
        """Take over the size that the upstream's own head gave."""
        if self._joined is not None and self._joined.size is not None:
            self.size = self._joined.size


@implementer(IReader)
class _Coming:
    """Finds its bytes at the first read; from then on the size of the body is certain."""

    def __init__(self, body: ComingBody, first: int, end: int | None) -> None:
        self._body = body
        self._first = first
        self._end = end
        self._reader: IReader | None = None

    async def read(self, limit: int) -> bytes:
        if self._reader is not None:
            return await self._reader.read(limit)
        self._reader = await self._body.find(self._first, self._end)
        piece = await self._reader.read(limit)
        self._body.learn()
        return piece

    def spooled(self) -> tuple[int, int, int] | None:
        return None if self._reader is None else self._reader.spooled()

    def advance(self, count: int) -> None:
        assert self._reader is not None
        self._reader.advance(count)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


@implementer(IReader)
class _Closing:
    """Reads a body that was opened for this reader alone."""

    def __init__(self, body: IBody, first: int, end: int | None) -> None:
        self._body = body
        self._reader = body.reader(first, end)

    async def read(self, limit: int) -> bytes:
        return await self._reader.read(limit)

    def spooled(self) -> tuple[int, int, int] | None:
        return self._reader.spooled()

    def advance(self, count: int) -> None:
        self._reader.advance(count)

    def close(self) -> None:
        self._reader.close()
        self._body.close()
