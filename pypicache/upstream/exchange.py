"""One connection to an upstream, and the answers that come over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from pypicache.upstream.reading import END_OF_HEAD, MOST_HEAD, Chunks, Head, Malformed, parse_head

INTERIM = 20  # answers of 1xx that may come before the one that counts
LARGE = 256 * 2**10  # bytes; what is longer is read in pieces of this size, each of which costs a turn of the reactor


class Asked:
    """The request that an answer belongs to, as far as anybody wants to know of it."""

    def __init__(self, method: bytes, uri: bytes, headers: Headers) -> None:
        self.method = method
        self.absoluteURI = uri  # the interface's name
        self.headers = headers


@implementer(IResponse)
class Response:
    """One answer. Its body waits in the connection until somebody takes it."""

    def __init__(self, asked: Asked, head: Head, connection: Connection) -> None:
        self.request = asked
        self.version = head.version
        self.code = head.code
        self.phrase = head.phrase
        self.headers = head.headers
        self.length = head.length
        self.previousResponse: IResponse | None = None  # the interface's name
        self._connection: Connection | None = connection
        self._waiting: list[bytes] = []
        self._taker: Any = None
        self._reason: Failure | None = None

    def setPreviousResponse(self, response: IResponse) -> None:  # noqa: N802  # IResponse's name
        """Note the redirect that led here."""
        self.previousResponse = response

    def deliverBody(self, protocol: Any) -> None:  # noqa: N802  # IResponse's name
        """Hand the body to a protocol: what is here at once, the rest as it comes, its end by ``connectionLost``."""
        assert self._taker is None, "a body is delivered once"
        self._taker = protocol
        protocol.makeConnection(_Flow(self))
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            protocol.dataReceived(piece)
        if self._reason is not None:
            protocol.connectionLost(self._reason)
        elif self._connection is not None:
            self._connection.go_on()

    @property
    def taken(self) -> bool:
        """Whether somebody takes the body."""
        return self._taker is not None

    def take(self, data: bytes) -> None:
        """A piece of the body came."""
        if self._taker is None:
            self._waiting.append(data)
        else:
            self._taker.dataReceived(data)

    def end(self, reason: Failure) -> None:
        """The body is over, or broke off; the connection is for others from now on."""
        self._connection = None
        self._reason = reason
        if self._taker is not None:
            self._taker.connectionLost(reason)


@implementer(IPushProducer)
class _Flow:
    """The transport of whoever takes a body."""

    disconnecting = False

    def __init__(self, response: Response) -> None:
        self._response = response

    def pauseProducing(self) -> None:
        if self._response._connection is not None:
            self._response._connection.hold()

    def resumeProducing(self) -> None:
        if self._response._connection is not None:
            self._response._connection.go_on()

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        if self._response._connection is not None:
            self._response._connection.hang_up()

    abortConnection = loseConnection


class Connection(Protocol):
    """A connection that carries one exchange after the other.

    ::

        idle --ask--> waiting for a head --head--> body --end--> idle        (kept for the next request)
                                                        `------> hung up     (its end was the end of the connection)

    :param idle: told when it can be used again.
    :param gone: told when it is closed.
    """

    def __init__(self, idle: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._idle = idle
        self._gone = gone
        self._asked: Asked | None = None
        self._answered: Deferred[Response] | None = None
        self._response: Response | None = None
        self._head: Head | None = None
        self._buffer = b""
        self._left: int | None = None  # bytes of the body that are to come; None: until the connection ends
        self._chunks: Chunks | None = None
        self._interim = 0
        self._held = False
        self.closing = False
        self.used = 0  # requests
        self.since = 0.0  # seconds by the clock of the one who keeps it: idle since then
        self.heard = False  # whether anything of the answer came, or nobody wants it any more

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, asked: Asked, request: bytes) -> Deferred[Response]:
        """Send a request.

        :param request: its bytes.
        :raises ResponseNeverReceived: the connection ended before the head of an answer was here.
        """
        assert self.transport is not None
        self._asked = asked
        self._answered = Deferred(self._cancelled)
        self._interim = 0
        self.heard = False
        self.used += 1
        self._send(request)
        return self._answered

    def _send(self, request: bytes) -> None:
        transport = self.transport
        assert transport is not None
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            # Nothing else waits to be written, so the socket takes it now: twice less is told to the kernel.
            sent = transport.writeSomeData(request)
            if isinstance(sent, int):
                request = request[sent:]
        if request:
            transport.write(request)

    def _read_by(self, most: int) -> None:
        """Take so many bytes from the socket at a time, at most. That of TLS has pieces of its own."""
        if isinstance(self.transport, tcp.Connection):
            self.transport.bufferSize = most

    def _cancelled(self, _: Deferred[Response]) -> None:
        self.heard = True  # nobody wants it to be asked again
        self.hang_up()

    def hang_up(self) -> None:
        """Give up whatever is under way, and the connection."""
        if not self.closing:
            self.closing = True
            assert self.transport is not None
            if hasattr(self.transport, "getPeerCertificate"):
                # Within TLS the other side would be waited for, and might go on sending for as long.
                self.transport.abortConnection()  # type: ignore[attr-defined]  # that of TLS has it
            else:
                self.transport.loseConnection()

    def hold(self) -> None:
        """Read no more for now."""
        if not self._held and not self.closing:
            self._held = True
            self.transport.pauseProducing()  # type: ignore[union-attr]  # every transport of a stream is a push producer

    def go_on(self) -> None:
        """Read again."""
        if self._held and not self.closing:
            self._held = False
            self.transport.resumeProducing()  # type: ignore[union-attr]  # every transport of a stream is a push producer

    # -- what comes ------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the answer that is under way; without one, the other side has nothing to say."""
        if self.closing:
            return
        try:
            if self._response is not None:
                self._body(data)
            elif self._asked is not None:
                self.heard = True
                self._heads(data)
            else:
                self.hang_up()
        except Malformed:
            self._break(Failure())

    def _heads(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        while True:
            end = END_OF_HEAD.search(buffer, 0, MOST_HEAD)
            if end is None:
                if len(buffer) >= MOST_HEAD:
                    raise Malformed(f"more than {MOST_HEAD} bytes without an end of the headers")
                self._buffer = buffer
                return
            assert self._asked is not None
            head = parse_head(buffer[: end.start()], self._asked.method)
            buffer = buffer[end.end() :]
            if head.code >= 200:
                break
            self._interim += 1
            if head.code == 101 or self._interim > INTERIM:
                raise Malformed(f"an answer of {head.code} that nobody asked for")
        self._buffer = b""
        self._begin(head, buffer)

    def _begin(self, head: Head, data: bytes) -> None:
        assert self._asked is not None
        response = self._response = Response(self._asked, head, self)
        self._head = head
        self._chunks = Chunks(response.take) if head.chunked else None
        self._left = head.length if isinstance(head.length, int) else None
        if self._left is not None and self._left > LARGE:
            self._read_by(LARGE)
        answered, self._answered = self._answered, None
        try:
            self._body(data)
        except Malformed:
            self._break(Failure())
        if answered is not None and not answered.called:
            answered.callback(response)
        if self._response is response and not response.taken:
            self.hold()

    def _body(self, data: bytes) -> None:
        response = self._response
        assert response is not None
        if self._chunks is not None:
            if data:
                self._chunks.data(data)
            if self._chunks.rest is not None and self._response is response:
                self._over(self._chunks.rest)
        elif self._left is None:
            if data:
                response.take(data)
        else:
            rest = b""
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            if data:
                response.take(data)
            if not self._left and self._response is response:
                self._over(rest)

    def _over(self, rest: bytes) -> None:
        """The body is complete."""
        response, head = self._response, self._head
        assert response is not None
        assert head is not None
        self._response = self._head = self._asked = self._chunks = None
        self._read_by(tcp.Connection.bufferSize)
        self.go_on()
        if rest or not head.lasting or self.closing:
            self.hang_up()
        else:
            self._idle(self)
        response.end(_DONE)

    def _break(self, why: Failure) -> None:
        self.hang_up()
        response, self._response = self._response, None
        answered, self._answered = self._answered, None
        self._asked = None
        if answered is not None and not answered.called:
            answered.errback(ResponseNeverReceived([why]))
        if response is not None:
            response.end(Failure(ResponseFailed([why])))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the connection; also that of a body whose length nobody told."""
        response = self._response
        hung_up, self.closing = self.closing, True
        if response is not None and self._left is None and self._chunks is None and not hung_up:
            self._response = self._asked = None
            response.end(Failure(PotentialDataLoss()))
        else:
            self._break(reason)
        self._gone(self)


_DONE = Failure(ResponseDone())
