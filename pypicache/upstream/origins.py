"""Requests straight to the origins of URLs, over few connections that are used again and again."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.client import URI, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pypicache.tasks import Waiters
from pypicache.upstream.exchange import Asked, Connection

MOST_ORIGINS = 1000  # remembered at a time; redirects may lead anywhere

_URL = re.compile(rb"(https?://([^/?#@\x00-\x20\x7f-\xff]+))([/?][\x21-\x7e]*)?\Z", re.IGNORECASE)
_METHODS = frozenset({b"GET", b"HEAD"})
_EMPTY = Headers()


@define(eq=False)
class Origin:
    """What is known of one origin: how to connect to it, and the connections that wait for work."""

    endpoint: Callable[[], IStreamClientEndpoint]
    host: bytes  # the line that names it in requests
    most: int  # idle connections
    idle: list[Connection] = field(factory=list)  # the one that was used last is the last one


@implementer(IAgent)
class Origins:
    """Sends GET and HEAD without a body, directly or through a tunnel.

    Same as Twisted's agent to whoever uses it; made for many small answers from few origins: an origin is worked out
    once, an endpoint is made for a connection and not for each request, and an answer that came in one piece goes
    through no state machine.

    :param endpoint_of: how to connect to an origin.
    :param most: idle connections kept per origin.
    :param kept: seconds for which an idle one is kept.
    """

    def __init__(
        self, clock: IReactorTime, endpoint_of: Callable[[URI], IStreamClientEndpoint], *, most: int, kept: float
    ) -> None:
        self._clock = clock
        self._endpoint_of = endpoint_of
        self._origins: dict[bytes, Origin] = {}
        self._open: set[Connection] = set()
        self._sweep: IDelayedCall | None = None
        self._changed = Waiters()
        self.most = most
        self.kept = kept

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # IAgent's name
    ) -> Deferred[IResponse]:
        """Ask. A kept connection that turns out to be closed is replaced by another one.

        :raises ResponseNeverReceived: the connection broke, or what came was no answer.
        :raises ValueError: not a URL that can be asked.
        """
        assert method in _METHODS
        assert bodyProducer is None
        parts = _URL.match(uri)
        if parts is None:
            scheme = uri.partition(b":")[0].lower()
            if scheme not in {b"http", b"https"}:
                raise SchemeNotSupported(f"{scheme[:20]!r}: expected http or https")
            raise ValueError("not the URL of a web page")
        origin = self._origins.get(parts[1]) or self._origin(parts[1])
        target = parts[3] or b"/"
        if target[0] == 0x3F:
            target = b"/" + target
        headers = headers or _EMPTY
        lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
        if not headers.hasHeader(b"host"):
            lines.append(origin.host)
        for name, values in headers.getAllRawHeaders():
            lines += [b"%b: %b\r\n" % (name, value) for value in values]
        lines.append(b"\r\n")
        return self._ask(origin, Asked(method, uri, headers), b"".join(lines))

    def _origin(self, text: bytes) -> Origin:
        uri = URI.fromBytes(text)
        standard = uri.port == {b"http": 80, b"https": 443}[uri.scheme]
        host = b"[%b]" % uri.host if b":" in uri.host else uri.host
        if not standard:
            host += b":%d" % uri.port
        while len(self._origins) >= MOST_ORIGINS:
            forgotten = self._origins.pop(next(iter(self._origins)))
            forgotten.most = 0
            for connection in list(forgotten.idle):
                connection.hang_up()
        origin = Origin(partial(self._endpoint_of, uri), b"Host: %b\r\n" % host, self.most)
        self._origins[text] = origin
        return origin

    # -- connections -----------------------------------------------------------------------------------------------

    def _ask(self, origin: Origin, asked: Asked, request: bytes) -> Deferred[IResponse]:
        while origin.idle:
            connection = origin.idle.pop()
            if not connection.closing:
                answered = connection.ask(asked, request)
                answered.addErrback(self._again, connection, origin, asked, request)
                return cast("Deferred[IResponse]", answered)
        factory = _Factory(partial(self._rest, origin), partial(self._gone, origin))
        connecting = cast("Deferred[Connection]", origin.endpoint().connect(factory))
        return cast("Deferred[IResponse]", connecting.addCallback(self._connected, asked, request))

    def _connected(self, connection: Connection, asked: Asked, request: bytes) -> Deferred[IResponse]:
        self._open.add(connection)
        return cast("Deferred[IResponse]", connection.ask(asked, request))

    def _again(
        self, failure: Failure, connection: Connection, origin: Origin, asked: Asked, request: bytes
    ) -> Failure | Deferred[IResponse]:
        """A kept connection may have been closed by the other side at the moment it was used."""
        if connection.heard or not failure.check(ResponseNeverReceived):
            return failure
        assert isinstance(failure.value, ResponseNeverReceived)
        if any(reason.check(CancelledError) for reason in failure.value.reasons):
            return failure
        return self._ask(origin, asked, request)

    def _rest(self, origin: Origin, connection: Connection) -> None:
        connection.since = self._clock.seconds()
        origin.idle.append(connection)
        if len(origin.idle) > origin.most:
            origin.idle.pop(0).hang_up()
        if self._sweep is None and origin.idle:
            self._sweep = self._clock.callLater(self.kept, self._tidy)

    def _gone(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in origin.idle:
            origin.idle.remove(connection)
        self._changed.tell()

    def _tidy(self) -> None:
        """Hang up on what was idle for too long."""
        self._sweep = None
        now = self._clock.seconds()
        oldest = now
        for origin in self._origins.values():
            while origin.idle and origin.idle[0].since + self.kept <= now:
                origin.idle.pop(0).hang_up()
            if origin.idle:
                oldest = min(oldest, origin.idle[0].since)
        if oldest < now or any(origin.idle for origin in self._origins.values()):
            self._sweep = self._clock.callLater(max(0.0, oldest + self.kept - now), self._tidy)

    async def close(self) -> None:
        """Hang up on idle connections; returns when they are gone."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        going = {connection for origin in self._origins.values() for connection in origin.idle}
        for connection in going:
            connection.hang_up()
        while going & self._open:
            await self._changed.wait()


class _Factory(Factory):
    noisy = False

    def __init__(self, idle: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._idle = idle
        self._gone = gone

    def buildProtocol(self, addr: IAddress | None) -> Connection:  # noqa: N802  # IProtocolFactory's name
        return Connection(self._idle, self._gone)
