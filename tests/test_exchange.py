"""Answers of upstreams, byte by byte, over a transport in memory."""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer

from pypicache.upstream.exchange import Asked, Connection
from pypicache.upstream.origins import MOST_ORIGINS, Origins
from pypicache.upstream.reading import MOST_HEAD

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Transport(StringTransport):
    """Counts how it is ended."""

    def loseConnection(self) -> None:  # ITransport's name
        self.disconnecting = True


@implementer(IStreamClientEndpoint)
class Line:
    """An endpoint, and the connections that were made to it."""

    def __init__(self) -> None:
        self.made: list[tuple[Protocol, Transport]] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's name
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 80))
        assert isinstance(protocol, Protocol)
        transport = Transport()
        protocol.makeConnection(transport)
        self.made.append((protocol, transport))
        made: Deferred[IProtocol] = Deferred()
        made.callback(protocol)
        return made


class Body(Protocol):
    """Collects a body."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class ExchangeCase(SynchronousTestCase):
    """One origin and its connections."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.line = Line()
        self.uris: list[URI] = []
        self.origins = Origins(self.clock, self.endpoint, most=2, kept=55)

    def endpoint(self, uri: URI) -> Line:
        self.uris.append(uri)
        return self.line

    def ask(self, path: bytes = b"/x", method: bytes = b"GET", **headers: str) -> Deferred[IResponse]:
        return self.origins.request(
            method, b"http://up.example" + path, Headers({name: [value] for name, value in headers.items()})
        )

    def come(self, data: bytes, number: int = -1) -> None:
        self.line.made[number][0].dataReceived(data)

    def lose(self, number: int = -1) -> None:
        self.line.made[number][0].connectionLost(Failure(ConnectionDone()))

    def transport(self, number: int = -1) -> Transport:
        return self.line.made[number][1]

    def body(self, answered: Deferred[IResponse]) -> Body:
        body = Body()
        self.successResultOf(answered).deliverBody(body)
        return body

    def whole(self, data: bytes, method: bytes = b"GET") -> tuple[int, bytes, object]:
        """Status, body, and how it ended, of an answer that comes in one piece; and the same byte by byte."""
        results: list[tuple[int, bytes, object]] = []
        for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
            self.origins = Origins(self.clock, self.endpoint, most=2, kept=55)
            came: list[IResponse] = []
            failed: list[Failure] = []
            body = Body()
            self.ask(method=method).addCallbacks(came.append, failed.append)
            for piece in pieces:
                self.come(piece)
                if came and body.transport is None:
                    came[0].deliverBody(body)
            if body.reason is None:
                self.lose()
            if failed:
                results.append((0, b"", type(failed[0].value)))
                continue
            assert body.reason is not None
            results.append((came[0].code, body.data, type(body.reason.value)))
        self.assertEqual(results[0], results[1])
        return results[0]


class BodyTests(ExchangeCase):
    """Where a body ends, and how certain that is."""

    def test_ends(self) -> None:
        for data, expected in [
            (OK, (200, b"hello", ResponseDone)),
            (b"HTTP/1.1 200 OK\nContent-Length: 5, 5\ncontent-length:5\n\nhello", (200, b"hello", ResponseDone)),
            (b"HTTP/1.1 200\r\nX-A: b\r\n c\r\nContent-Length : 0\r\n\r\n", (200, b"", ResponseDone)),
            (b"HTTP/1.0 200 OK\r\n\r\nhello", (200, b"hello", PotentialDataLoss)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", (200, b"hello", ResponseFailed)),
            (b"HTTP/1.1 304 Same\r\nContent-Length: 6\r\n\r\n", (304, b"", ResponseDone)),
            (b"HTTP/1.1 103 Soon\r\nLink: x\r\n\r\n" + OK, (200, b"hello", ResponseDone)),
            (b"HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 5\r\n\r\nhello", (200, b"hello", ResponseDone)),
        ]:
            self.assertEqual(self.whole(data), expected, data)
        self.assertEqual(self.whole(OK[:-5], b"HEAD"), (200, b"", ResponseDone))

    def test_chunks(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        for data, expected in [
            (b"3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n", (200, b"hello", ResponseDone)),
            (b"00A\n0123456789\n0\nTrailer: x\n\n", (200, b"0123456789", ResponseDone)),
            (b"5\r\nhello\r\n", (200, b"hello", ResponseFailed)),
            (b"5\r\nhel", (200, b"hel", ResponseFailed)),
            (b"5\r\nhello\r\n0\r\n", (200, b"hello", ResponseFailed)),
            (b"5\r\nhellox\r\n0\r\n\r\n", (200, b"hello", ResponseFailed)),
            (b"-5\r\nhello\r\n0\r\n\r\n", (200, b"", ResponseFailed)),
            (b"5" * 16 + b"\r\nhello", (200, b"", ResponseFailed)),
            (b"1" + b";" * 5000 + b"\r\nh", (200, b"", ResponseFailed)),
            (b"0\r\n" + b"a: b\r\n" * (MOST_HEAD // 4) + b"\r\n", (200, b"", ResponseFailed)),
        ]:
            self.assertEqual(self.whole(head + data), expected, data[:80])

    def test_nonsense(self) -> None:
        for data in (
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 999 OK\r\n\r\n",
            b"HTTP/1.1 101 Other\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\x00\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Go on\r\n\r\n" * 30 + OK,
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MOST_HEAD // 6 + 1) + b"\r\n",
            b"HTTP/1.1 200 OK\r\n",
        ):
            self.assertEqual(self.whole(data), (0, b"", ResponseNeverReceived), data[:60])

    def test_length(self) -> None:
        answered = self.ask()
        self.come(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.assertIs(self.successResultOf(answered).length, UNKNOWN_LENGTH)

    def test_pace(self) -> None:
        """Nothing is read for a body that nobody takes, or whose taker wants no more."""
        answered = self.ask()
        self.come(OK[:-3])
        self.assertEqual(self.transport().producerState, "paused")
        body = self.body(answered)
        self.assertEqual((self.transport().producerState, body.data), ("producing", b"he"))
        assert body.transport is not None
        cast(IPushProducer, body.transport).pauseProducing()
        self.assertEqual(self.transport().producerState, "paused")
        self.come(b"llo")  # was on its way
        self.assertEqual((body.data, self.transport().producerState), (b"hello", "producing"))
        cast(IPushProducer, body.transport).pauseProducing()
        self.assertEqual(self.transport().producerState, "producing")  # it is no more the body's

    def test_long_ones_are_read_in_large_pieces(self) -> None:
        """Fewer turns of the reactor for a large file; answers that follow do not ask for so much memory again."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        connection = Connection(lambda _: None, lambda _: None)
        transport = tcp.Connection(ours, connection, MemoryReactor())
        transport.connected = 1
        connection.makeConnection(transport)
        sizes: list[int] = []
        for length in (1_000_000, 200_000):
            body = Body()
            asked = connection.ask(Asked(b"GET", b"http://files.example/", Headers()), b"GET / HTTP/1.1\r\n\r\n")
            theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            transport.doRead()
            self.successResultOf(asked).deliverBody(body)
            most = 0
            for _ in range(length // 100_000):
                end = len(body.data) + theirs.send(bytes(100_000))
                while (before := len(body.data)) < end:
                    transport.doRead()
                    most = max(most, len(body.data) - before)
            sizes.append(most)
        self.assertEqual(sizes, [100_000, 65_536])

    def test_giving_up(self) -> None:
        """The connection ends with the body, and with a request that is cancelled."""
        body = self.body(self.asked_halfway())
        assert body.transport is not None
        body.transport.loseConnection()
        self.assertTrue(self.transport().disconnecting)
        self.come(b"llo")
        self.lose()
        assert body.reason is not None
        self.assertEqual((body.data, type(body.reason.value)), (b"he", ResponseFailed))
        answered = self.ask()
        answered.cancel()
        self.failureResultOf(answered, CancelledError)
        self.assertTrue(self.transport().disconnecting)
        self.lose()
        self.assertEqual(len(self.line.made), 2)

    def asked_halfway(self) -> Deferred[IResponse]:
        answered = self.ask()
        self.come(OK[:-3])
        return answered


class ConnectionTests(ExchangeCase):
    """Which connections are used again."""

    def test_requests(self) -> None:
        self.ask(b"/a?b", Accept="*/*")
        self.assertEqual(self.transport().value(), b"GET /a?b HTTP/1.1\r\nHost: up.example\r\nAccept: */*\r\n\r\n")
        for url, target, host in [
            (b"http://up.example:80?q", b"/?q", b"up.example"),
            (b"HTTPS://up.example:444", b"/", b"up.example:444"),
            (b"http://[::1]:81/", b"/", b"[::1]:81"),
        ]:
            self.origins.request(b"HEAD", url)
            self.assertEqual(self.transport().value(), b"HEAD %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
        self.origins.request(b"GET", b"http://up.example/", Headers({"Host": ["other"]}))
        self.assertEqual(self.transport().value(), b"GET / HTTP/1.1\r\nHost: other\r\n\r\n")

    def test_what_cannot_be_asked(self) -> None:
        for url in (b"http:///x", b"http://up.example/a b", b"http://me@up.example/", b"http://up.example/a\r\nB: c"):
            with self.assertRaises(ValueError):
                self.origins.request(b"GET", url)
        with self.assertRaises(SchemeNotSupported):
            self.origins.request(b"GET", b"ftp://up.example/")

    def test_kept(self) -> None:
        for _ in range(3):
            answered = self.ask()
            self.come(OK)
            self.assertEqual(self.body(answered).data, b"hello")
        self.assertEqual((len(self.line.made), len(self.uris)), (1, 1))

    def test_not_kept(self) -> None:
        """After what says so, and after what came behind the end."""
        for number, data in enumerate([
            OK.replace(b"\r\n\r\n", b"\r\nConnection: X, Close\r\n\r\n"), OK.replace(b"1.1", b"1.0"), OK + b"more",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ]):  # fmt: skip
            answered = self.ask()
            self.come(data)
            self.assertEqual(self.body(answered).data, b"hello")
            self.assertEqual((len(self.line.made), self.transport().disconnecting), (number + 1, True), data)

    def test_number(self) -> None:
        """No more idle ones are kept than wanted; the newest are used."""
        for _ in range(3):
            self.ask()
        for number in range(3):
            self.come(OK, number)
        self.assertEqual([line.disconnecting for _, line in self.line.made], [True, False, False])
        self.ask()
        self.assertEqual(self.transport().value().count(b"GET"), 2)

    def test_age(self) -> None:
        self.ask()
        self.come(OK)
        self.clock.advance(30)
        self.ask()
        self.come(OK)
        self.clock.advance(54)
        self.assertFalse(self.transport().disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.transport().disconnecting)
        self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_words_out_of_turn(self) -> None:
        self.ask()
        self.come(OK)
        self.come(OK)
        self.assertTrue(self.transport().disconnecting)
        self.ask()
        self.assertEqual(len(self.line.made), 2)

    def test_closed_at_the_wrong_moment(self) -> None:
        """A kept connection that ends without a word is replaced; a new one, or one that began to answer, is not."""
        self.ask()
        self.come(OK)
        answered = self.ask()
        self.lose()
        self.assertNoResult(answered)
        self.assertEqual(len(self.line.made), 2)
        self.lose()
        self.failureResultOf(answered, ResponseNeverReceived)
        self.ask()
        self.come(OK)
        answered = self.ask()
        self.come(b"HTTP")
        self.lose()
        self.failureResultOf(answered, ResponseNeverReceived)
        self.assertEqual(len(self.line.made), 3)

    def test_many_origins(self) -> None:
        """The oldest are forgotten, and their connections end, also those that were busy."""
        self.ask()
        self.come(OK)
        busy = self.ask()
        for number in range(MOST_ORIGINS):
            self.origins.request(b"GET", b"http://%d.example/" % number)
        self.come(OK, 0)
        self.successResultOf(busy)
        self.assertTrue(self.transport(0).disconnecting)

    def test_close(self) -> None:
        self.ask()
        self.come(OK)
        closed = Deferred.fromCoroutine(self.origins.close())
        self.assertNoResult(closed)
        self.assertTrue(self.transport().disconnecting)
        self.lose()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
