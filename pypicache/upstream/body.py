"""The body of an upstream's answer, as it arrives."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from pypicache.core.errors import BadInput, Broken

IDLE = 30.0  # seconds without a byte after which a body counts as broken
GZIP = 31  # what zlib calls the format
SHORT = 64 * 2**10  # bytes; dropping a connection costs more than reading this much


class Answer:
    """An upstream's answer whose head is here and whose body is taken piece by piece.

    :ivar status: the HTTP status code.
    :ivar length: bytes of this body by its head; ``None`` if the head does not say.
    :param received: told the size of every piece.
    :param left: called once when the answer needs no connection any more.
    """

    def __init__(
        self,
        response: IResponse,
        clock: IReactorTime,
        received: Callable[[int], None] = lambda _: None,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._response = response
        self._clock = clock
        self._received = received
        self._left = left
        self._body: _Body | None = None
        self.status: int = response.code
        self.length: int | None = None if response.length is UNKNOWN_LENGTH else response.length

    def header(self, name: str) -> str | None:
        """One header's value, ``None`` where it is missing."""
        values = self._response.headers.getRawHeaders(name)
        return values[0] if values else None

    @property
    def url(self) -> str | None:
        """Where the answer came from after redirects."""
        request = self._response.request
        return None if request is None else request.absoluteURI.decode("ascii", "replace")

    @property
    def validator(self) -> str | None:
        """What identifies these bytes strongly enough to ask for the rest of them: strong ETag or Last-Modified."""
        etag = self.header("etag")
        if etag is not None and etag.startswith('"'):
            return etag
        return self.header("last-modified")

    @property
    def span(self) -> tuple[int, int | None] | None:
        """First byte and whole length of a 206 (``Content-Range: bytes 5-9/10``); ``None`` if it cannot be read."""
        unit, _, rest = (self.header("content-range") or "").partition(" ")
        place, _, whole = rest.partition("/")
        first = place.partition("-")[0]
        if unit.lower() != "bytes" or not first.isdigit() or not (whole.isdigit() or whole == "*"):
            return None
        return int(first), None if whole == "*" else int(whole)

    @property
    def total(self) -> int | None:
        """Length of the whole file in bytes, by this answer's head."""
        if self.status == 206:
            return None if self.span is None else self.span[1]
        return self.length

    def pump(self, take: Callable[[bytes], None]) -> Deferred[bool]:
        """Hand every piece of the body to ``take``.

        :return: fires at the end of the body: ``True`` if the end is certain, ``False`` if the connection was just
            closed and nothing said how long the body is. Fails with :exc:`Broken` if it ended too early or nothing
            came for 30 s, and with whatever ``take`` raised. Cancelling it ends the transfer.
        """
        self._body = _Body(take, self._clock, self._received, self._release)
        self._response.deliverBody(self._body)
        return self._body.ended

    def _release(self) -> None:
        left, self._left = self._left, lambda: None
        left()

    def abort(self) -> None:
        """Give up the rest of the body, and the connection with it; a short body that nobody reads is let through."""
        unread = self._body is None
        if self._body is None:
            self.pump(lambda _: None).addErrback(lambda _: None)
        if self._body is not None and not (unread and self.length is not None and self.length <= SHORT):
            self._body.abort()

    def hold(self) -> None:
        """Let the upstream wait: no more pieces for now."""
        if self._body is not None:
            self._body.hold()

    def go_on(self) -> None:
        """Take pieces again after :meth:`hold`."""
        if self._body is not None:
            self._body.go_on()


class _Body(Protocol):
    def __init__(
        self,
        take: Callable[[bytes], None],
        clock: IReactorTime,
        received: Callable[[int], None],
        left: Callable[[], None],
    ) -> None:
        self._take = take
        self._clock = clock
        self._received = received
        self._left = left
        self._idle: IDelayedCall | None = None
        self._over = False
        self.ended: Deferred[bool] = Deferred(lambda _: self._end(Failure(CancelledError())))

    def connectionMade(self) -> None:
        self._idle = self._clock.callLater(IDLE, self._too_quiet)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        if self._idle is not None and self._idle.active():
            self._idle.reset(IDLE)
        self._received(len(data))
        try:
            self._take(data)
        except Exception:  # the taker's own reason is what whoever waits is told
            self._end(Failure())

    def connectionLost(self, reason: Failure | None = None) -> None:
        if reason is None or reason.check(ResponseDone):
            self._end(True)
        elif reason.check(PotentialDataLoss):
            self._end(False)
        else:
            self._end(Failure(Broken(f"the upstream broke off: {reason.getErrorMessage()}")))

    def _too_quiet(self) -> None:
        self._end(Failure(Broken(f"the upstream sent nothing for {IDLE:.0f} s")))

    def abort(self) -> None:
        self._end(Failure(Broken("the transfer was given up")))

    def hold(self) -> None:
        if not self._over and self.transport is not None:
            if self._idle is not None and self._idle.active():
                self._idle.cancel()
            self.transport.pauseProducing()  # type: ignore[attr-defined]  # the client's transport proxy is a push producer

    def go_on(self) -> None:
        if not self._over and self.transport is not None:
            self._idle = self._clock.callLater(IDLE, self._too_quiet)
            self.transport.resumeProducing()  # type: ignore[attr-defined]  # the client's transport proxy is a push producer

    def _end(self, result: bool | Failure) -> None:
        if self._over:
            return
        self._over = True
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if isinstance(result, Failure) and self.transport is not None:
            self.transport.loseConnection()
        self._left()
        if not self.ended.called:
            self.ended.callback(result)


class Drain:
    """Collects a body up to a size.

    :param most: bytes, after decoding; not much more is ever decoded, whatever the body would become.
    :param coding: the body's Content-Encoding.
    :raises BadInput: from all methods: there is more, or it is not in this coding.
    """

    def __init__(self, most: int, coding: str | None = None) -> None:
        coding = (coding or "identity").strip().lower()
        if coding not in {"identity", "gzip", "x-gzip"}:
            raise BadInput(f"the page came in the coding {coding[:40]!r}, which nobody asked for")
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._unpacker = None if coding == "identity" else zlib.decompressobj(GZIP)
        self.full = False

    def take(self, data: bytes) -> None:
        """Keep one piece."""
        while data:
            if self._unpacker is None:
                plain, data = data, b""
            else:
                plain, data = self._unpack(data)
            self._size += len(plain)
            if self._size > self._most:
                self.full = True
                self._pieces.clear()
                raise BadInput(f"the page is larger than {self._most} bytes")
            self._pieces.append(plain)

    def _unpack(self, data: bytes) -> tuple[bytes, bytes]:
        """A part of the plain text, and what has to be unpacked next."""
        assert self._unpacker is not None
        if self._unpacker.eof:
            if not data.startswith(b"\x1f\x8b"):
                return b"", b""  # padding
            self._unpacker = zlib.decompressobj(GZIP)  # several members are one text (RFC 1952 section 2.2)
        try:
            plain = self._unpacker.decompress(data, self._most - self._size + 1)
        except zlib.error as error:
            raise BadInput(f"the page cannot be unpacked: {error}") from error
        return plain, self._unpacker.unused_data or self._unpacker.unconsumed_tail

    def whole(self) -> bytes:
        """Everything that was taken."""
        if self._unpacker is not None and not self._unpacker.eof and self._size:
            raise BadInput("the page ends in the middle of its coding")
        return b"".join(self._pieces)
