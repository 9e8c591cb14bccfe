"""What clients send: small bodies are kept in memory, large ones are handed on piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import orjson
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from pypicache.core.errors import BadInput, Broken, PypicacheError, TooLarge

SMALL = 2**20  # bytes of a body that is kept in memory
DRAINED = 2**30  # bytes of a refused body that are read and dropped, so that the client reads the answer

log = Logger()


class Intake(Protocol):
    """Takes the body of one request as it arrives, instead of the request itself."""

    async def admit(self) -> None:
        """Judge the request by its headers.

        :raises PypicacheError: nothing of the body is to be taken in; the client is told why.
        """

    def take(self, piece: bytes) -> None:
        """One piece of the body. The request is rendered when all have come.

        :raises PypicacheError: the rest is not to be taken in; the client is told why.
        """

    def answer(self) -> Coroutine[Any, Any, None] | None:
        """Answers the request, which is here as a whole; ``None`` if that is left to those who answer its address."""

    def leave(self) -> None:
        """Let go of everything: the client left, or was refused, or was answered. May be called twice."""


Stream = Callable[["BodyRequest", bytes, bytes, "int | None"], "Intake | None"]
"""Asked when the headers of a request are here, before any of its body: the request, its method, its URI and the length
that the body is said to have. Gives who takes the body; ``None`` to have it kept in memory if it is small."""


class BodyRequest(Request):
    """A request as the site makes it.

    ::

        headers --> site.stream(request, method, uri, length) --> None   --> kept; more than SMALL bytes are dropped
                                                              --> Intake --> intake.admit()
                refused --> answered at once, if the body is not small; what comes of it is dropped,
                            and after DRAINED bytes of it the connection is closed
                admitted -> intake.take(piece) ...
        end of the body --> rendered, with ``request.intake`` or with :func:`body_of`

    A client that is refused while it sends would see a broken connection instead of the answer, if what it sends were
    not read (contract clients 2.4).

    :ivar refused: why nothing of the body is taken in, or what came of the question already; raised by whoever renders
        the request.
    :ivar admitted: as of which generation of accounts and indexes it was, to which index, and who sent it.
    :ivar before_head: called before the head of the answer is written, when what was asked for is done.
    """

    before_head: Callable[[], None] | None = None

    intake: Intake | None = None
    admitted: tuple[int, Any, Any] | None = None
    dropped = False  # the body was larger than SMALL
    refused: PypicacheError | None = None
    _asked = False  # whether the stream was asked
    _length: int | None = None
    _drained = 0
    _paused = 0
    _early = False  # answered before the body was here
    _waiting: list[bytes] | None = None  # pieces that came before the request was admitted
    _complete: tuple[bytes, bytes, bytes] | None = None  # the body was here before the request was admitted

    def gotLength(self, length: int | None) -> None:  # noqa: N802 -- a method of twisted.web
        """The headers are here; in HTTP/2 some of them may still come."""
        super().gotLength(min(length or 0, SMALL))
        self.refused = getattr(self.channel, "error", None)
        self._length = length
        if hasattr(self.channel, "_command"):
            self._ask(self.channel._command, self.channel._path, self.channel._version)

    def _ask(self, method: bytes, uri: bytes, version: bytes) -> None:
        self._asked = True
        stream: Stream | None = getattr(getattr(self.channel, "site", None), "stream", None)
        self.intake = None if stream is None else stream(self, method, uri, self._length)
        if self.intake is None:
            return
        self.method, self.uri, self.path, self.clientproto = method, uri, uri.partition(b"?")[0], version
        self._waiting = []
        admitting: Deferred[None] = Deferred.fromCoroutine(self.intake.admit())
        admitting.addCallbacks(self._admitted, self._judged)
        if self._waiting is not None:
            self.pause()
        # A failure of our own is told to the client like any other that happens while it is answered.
        admitting.addErrback(lambda failure: log.failure("a body could not be taken in", failure))

    def _judged(self, failure: Failure) -> None:
        if self._waiting is None or self._disconnected:
            return
        error = failure.value
        if not isinstance(error, PypicacheError):
            log.failure("a request could not be judged", failure)
            error = Broken("the server failed; its log says why")
        self._refuse(error)
        self._admitted(None)

    def _admitted(self, _: object) -> None:
        waiting, self._waiting = self._waiting, None
        if self._disconnected:
            return
        for piece in waiting or []:
            self.handleContentChunk(piece)
        self.resume()
        if self._complete is not None:
            self.requestReceived(*self._complete)

    def pause(self) -> None:
        """Read no more of the body for now, because what came has yet to be dealt with."""
        self._paused += 1
        if self._paused == 1 and self.channel is not None:
            self.channel.pauseProducing()

    def resume(self) -> None:
        """Undo one :meth:`pause`."""
        if self._paused:
            self._paused -= 1
            if not self._paused and self.channel is not None:
                self.channel.resumeProducing()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body is here."""
        if not self._asked:
            self._ask(getattr(self.channel, "command", b""), getattr(self.channel, "path", b""), b"HTTP/2")
        if self._waiting is not None:
            self._waiting.append(data)
        elif self.refused is not None:
            self._drained += len(data)
            if self._drained > DRAINED:
                self.loseConnection()
        elif self.intake is not None:
            try:
                self.intake.take(data)
            except PypicacheError as error:
                self._refuse(error)
        elif self.dropped or self.content is None or self.content.tell() + len(data) > SMALL:
            self.dropped = True
        else:
            super().handleContentChunk(data)

    def _refuse(self, error: PypicacheError) -> None:
        self.refused = error
        assert self.intake is not None
        self.intake.leave()
        large = self._length is None or self._length > SMALL
        if large and self._complete is None and hasattr(self.channel, "persistent"):
            self._early = True
            self.channel.persistent = False
            self.requestHeaders.removeHeader("expect")  # or "100 Continue" would follow the answer
            self.setHeader("connection", "close")
            self.channel.factory.resource.turn_away(self, error)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 -- of twisted.web
        """The body is here."""
        if not self._asked:
            self._ask(command, path, version)
        if self._waiting is not None:
            self._complete = (command, path, version)
        elif self._early:
            self.finish()
        else:
            super().requestReceived(command, path, version)

    def write(self, data: bytes) -> None:
        """A piece of the answer; the first one is written after the head."""
        if self.before_head is not None and not self.startedWriting:
            self.before_head()
        super().write(data)

    def connectionLost(self, reason: Failure) -> None:
        """The client left."""
        super().connectionLost(reason)
        if self.intake is not None:
            self.intake.leave()


class Collected:
    """A body that is kept in memory although it is not small.

    :param judge: called with the headers; raises to refuse the request.
    :param most: bytes.
    """

    def __init__(self, judge: Callable[[], Coroutine[Any, Any, None]], most: int) -> None:
        self._judge = judge
        self._most = most
        self.body = bytearray()

    async def admit(self) -> None:
        await self._judge()

    def take(self, piece: bytes) -> None:
        if len(self.body) + len(piece) > self._most:
            raise TooLarge(f"the body of this request may have {self._most} bytes")
        self.body += piece

    def answer(self) -> None:
        return None

    def leave(self) -> None:
        self.body = bytearray()


def body_of(request: Request) -> bytes:
    """The whole body of a request.

    :raises TooLarge: it was larger than what is kept in memory.
    """
    if getattr(request, "dropped", False):
        raise TooLarge(f"the body of this request may have {SMALL} bytes")
    if request.content is None:
        return b""
    request.content.seek(0)
    body: bytes = request.content.read()
    return body


def body_start(request: Request) -> bytes:
    """The first character of a body that is kept in memory, blanks aside; nothing if there is none."""
    if request.content is None or request.content.closed:
        return b""
    request.content.seek(0)
    start: bytes = request.content.read(64)
    return start.lstrip()[:1]


def json_of(request: Request) -> Any:
    """The body of a request, read as JSON.

    :raises BadInput: it is none.
    :raises TooLarge: it was larger than what is kept in memory.
    """
    try:
        return orjson.loads(body_of(request))
    except orjson.JSONDecodeError as error:
        raise BadInput("Bad request: could not decode json") from error
