"""One upstream download per file, whoever asks and however many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from errno import ENOSPC

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from pypicache.core.errors import Broken, Corrupt, NotFound, PypicacheError, UpstreamDown
from pypicache.core.model import File
from pypicache.core.spec import UpstreamURL
from pypicache.interfaces import IReader
from pypicache.store.checking import Check
from pypicache.store.local import FULL
from pypicache.store.spool import Spool
from pypicache.store.through import Through
from pypicache.tasks import Waiters, pause
from pypicache.upstream.body import Answer
from pypicache.upstream.client import Upstream

ATTEMPTS = 6  # requests in a row that bring nothing before a download is given up
STRIDE, PATIENCE = 64 * 2**10, 0.0  # bytes and seconds after which readers are told what came; 0: after this turn
CROWD = 4  # readers; so many take larger strides, because waking them all costs more than it gives
CROWD_STRIDE, CROWD_PATIENCE = 4 * 2**20, 0.05
FAR = 2**20  # bytes ahead of what has arrived; a reader that begins further away does not wait for the spool


class SpoolFull(Exception):
    """The disk does not take the rest of the file."""


class Download:
    """A file on its way from the upstream into a spool file that any number of readers follow.

    ::

        upstream --bytes--> spool + digest --pread--> reader --> client 1
                 <-Range--  (resumed)      --pread--> reader --> client 2 ...

    A slow reader slows nobody and a leaving one stops nothing. A connection that breaks is resumed without the readers
    noticing. The last byte is held back until length and digest are right. When the disk is full the spool ends where
    it is, and every reader gets the rest from the upstream on its own.

    :param room: tells whether the disk has room for that many bytes.
    :param keep: puts the complete spool file on the shelf.
    :param full: told the reason when the disk takes no more.
    """

    log = Logger()

    def __init__(
        self,
        *,
        key: str,
        file: File,
        login: UpstreamURL | None,
        upstream: Upstream,
        clock: IReactorTime,
        spool: Spool,
        room: Callable[[int], Awaitable[bool]],
        keep: Callable[[Download], Awaitable[None]],
        full: Callable[[OSError], None],
    ) -> None:
        self.key = key
        self.file = file
        self.login = login
        self.upstream = upstream
        self.clock = clock
        self.spool = spool
        self.began = clock.seconds()
        self.size: int | None = None  # bytes of the whole file by the upstream's head, or else by the page
        self.modified: str | None = None  # the upstream's Last-Modified
        self.check = Check(file)
        self.ranges = True  # until the upstream shows that it has none
        self.complete = False  # all bytes are here and were found right
        self.failure: PypicacheError | None = None
        self.overflowed = False  # the disk is full; readers go on alone
        self.readers = 0
        self.changed = Waiters()
        self._validator: str | None = None
        self._skip = 0
        self._room = room
        self._keep = keep
        self._full = full
        self.ended = False  # nothing more happens to it
        self._told = 0  # bytes that had arrived when readers were last told of any
        self._later: IDelayedCall | None = None

    @property
    def arrived(self) -> int:
        """Bytes that are in the spool."""
        return self.check.size

    @property
    def visible(self) -> int:
        """Bytes that readers may have: those that they were told of, but the last one only if the file was found right.

        What came since then has to wait, or else a crowd would be served in crumbs, each reader at each turn.
        """
        return self.arrived if self.complete or self.overflowed else max(0, self._told - 1)

    # -- receiving -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Receive the file and put it on the shelf. Fails only when cancelled; readers are told by :attr:`failure`."""
        try:
            await self._receive()
            self.complete = True
            self._tell()
            await self._keep(self)
        except SpoolFull:
            self.overflowed = True
        except Corrupt as error:
            self.log.error("{index}: the upstream's bytes are refused: {why}", index=self.key, why=str(error))
            self.failure = error
        except PypicacheError as error:
            self.log.warn("{index}: {why}", index=self.key, why=str(error))
            self.failure = error
        except (CancelledError, GeneratorExit):
            self.failure = Broken(f"{self.file.name}: the server is being stopped")
            raise
        except Exception as error:
            self.log.failure("the download of {key} failed", key=self.key)
            self.failure = Broken(f"{self.file.name}: {type(error).__name__}")
        finally:
            self.ended = True
            self.spool.unlink()
            self._close_when_alone()
            self._tell()

    def _open_spool(self) -> None:
        try:
            self.spool.begin(self.size)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._full(error)
            raise SpoolFull from error

    async def _receive(self) -> None:
        fruitless = 0
        while True:
            before = self.arrived
            try:
                answer = await self.upstream.stream(
                    self.file.url, self.login, first=before, validator=self._validator if before else None
                )
                self._begin(answer, before)
                await self._find_room(answer)
                self._open_spool()
                certain = await answer.pump(self._take)
                if self.size is None and not certain and not self.check.decides:
                    raise Corrupt(f"{self.file.name}: nothing tells where the file ends")
                self.check.judge(self.size)
                return
            except (NotFound, Corrupt) as error:
                if before and isinstance(error, NotFound):
                    raise Broken(f"{self.file.name}: it vanished at the upstream during the download") from error
                raise
            except (Broken, UpstreamDown) as error:
                fruitless = 0 if self.arrived > before else fruitless + 1
                if fruitless >= (ATTEMPTS if self.arrived else 2):
                    raise
                wait = 0.2 * 2**fruitless
                if isinstance(error, UpstreamDown):
                    if not self.arrived:
                        raise
                    wait = max(wait, min(error.retry_after, 10.0))
                self.log.info("{key}: resumed at byte {at}: {why}", key=self.key, at=self.arrived, why=str(error))
            await pause(self.clock, wait)

    def _begin(self, answer: Answer, wanted: int) -> None:
        first = 0
        if answer.status == 206:
            span = answer.span
            if span is None or span[0] != wanted or (self.size is not None and span[1] not in {self.size, None}):
                answer.abort()
                raise Broken(f"{self.file.name}: the upstream answered with another range than asked for")
            first = wanted
        elif wanted:
            self.ranges = False
        if wanted and not self.check.decides and (answer.validator is None or answer.validator != self._validator):
            answer.abort()
            raise Corrupt(f"{self.file.name}: nothing tells that it did not change at the upstream during the download")
        total = answer.total
        if self.size is not None and total is not None and total != self.size:
            answer.abort()
            raise Corrupt(f"{self.file.name}: its size changed at the upstream from {self.size} to {total} bytes")
        if total is None and self.size is None:
            total = self.file.size  # what the page promised is what clients were told
        self.size = total if total is not None else self.size
        self.modified = answer.header("last-modified")
        self._validator = answer.validator
        self._skip = wanted - first
        self.changed.tell()

    async def _find_room(self, answer: Answer) -> None:
        if self.arrived or self.size is None or await self._room(self.size):
            return
        answer.abort()
        error = OSError(ENOSPC, f"no room for {self.size} bytes")
        self._full(error)
        raise SpoolFull from error

    def _take(self, data: bytes) -> None:
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip -= gone
            data = data[gone:]
        if self.size is not None and self.arrived + len(data) > self.size:
            raise Corrupt(f"{self.file.name}: expected {self.size} bytes, got more")
        if not data:
            return
        try:
            self.spool.write(data, self.arrived)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._full(error)
            raise SpoolFull from error
        self.check.take(data)
        if self.arrived == self.size and self.spool.content is not None:
            return  # the end comes at once, and a single piece with it
        stride, patience = (STRIDE, PATIENCE) if self.readers < CROWD else (CROWD_STRIDE, CROWD_PATIENCE)
        if not self._told or self.arrived - self._told >= stride:
            self._tell()
        elif self._later is None:
            self._later = self.clock.callLater(patience, self._tell)

    def _tell(self) -> None:
        self._told = self.arrived
        if self._later is not None and self._later.active():
            self._later.cancel()
        self._later = None
        self.changed.tell()

    # -- reading ---------------------------------------------------------------------------------------------------

    def reader(self, first: int, end: int | None) -> IReader:
        """A reader of this file's bytes, from the spool and, where that is not enough, from the upstream."""
        return Follower(self, first, end)

    def enter(self) -> None:
        """One more reader uses the spool."""
        self.readers += 1

    def leave(self) -> None:
        """A reader is done."""
        self.readers -= 1
        self._close_when_alone()

    def _close_when_alone(self) -> None:
        if self.ended and not self.readers:
            self.spool.close()

    async def rest(self, first: int, end: int | None) -> Through | None:
        """The bytes from ``first`` on, straight from the upstream; ``None`` if it cannot begin in the middle.

        Where the spool ended for want of room and ``first`` is just there, the digest goes on as well.
        """
        whole = self.overflowed and first == self.arrived and end in {None, self.size}
        answer = await self.upstream.stream(self.file.url, self.login, first=first, end=end, validator=self._validator)
        check = self.check.copy() if whole else None
        left = None if end is None or whole else end - first
        if answer.status == 206 and answer.span is not None and answer.span[0] == first:
            return Through(answer, end=left, check=check, length=self.size)
        self.ranges = self.ranges and not first
        if first and not self.overflowed:
            answer.abort()
            return None
        if self.size is None:
            self.size = answer.total if answer.total is not None else self.file.size
        return Through(answer, skip=first, end=left, check=check, length=self.size)


@implementer(IReader)
class Follower:
    """Reads a growing spool file at its own pace.

    A reader that begins far beyond what has arrived is served from the upstream, if that can begin in the middle.
    """

    def __init__(self, download: Download, first: int, end: int | None) -> None:
        self._download = download
        self._at = first
        self._end = end
        self._alone: Through | None = None
        self._closed = False
        download.enter()

    async def read(self, limit: int) -> bytes:
        download = self._download
        while self._alone is None:
            count = self._count()
            if count > 0:
                piece = download.spool.read(min(limit, count), self._at)
                self._at += len(piece)
                return piece
            if download.complete or (self._end is not None and self._at >= self._end):
                return b""
            if download.failure is not None:
                raise download.failure
            if download.overflowed or (self._at - download.arrived > FAR and download.ranges):
                self._alone = await download.rest(self._at, self._end)
            else:
                await download.changed.wait()
        return await self._alone.read(limit)

    def _count(self) -> int:
        """How many bytes are here for this reader."""
        download = self._download
        if not download.spool.readable:
            return 0
        until = download.visible if self._end is None else min(download.visible, self._end)
        return until - self._at

    def spooled(self) -> tuple[int, int, int] | None:
        descriptor, count = self._download.spool.descriptor, self._count()
        if self._alone is not None or descriptor is None or count <= 0:
            return None
        return descriptor, self._at, count

    def advance(self, count: int) -> None:
        self._at += count

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._alone is not None:
                self._alone.close()
            self._download.leave()
