"""What the proxy variables mean, and what is said to a proxy to get through it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from attrs import define, field
from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from pypicache.core.errors import BadInput
from pypicache.upstream.tunnel import HEAD_LIMIT, Proxies, Proxy, ProxyEndpoint, ProxyRefused, TunnelEndpoint, exempts

SECRET = "s3cret"  # noqa: S105  # a password that must not show up anywhere


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("me:s3cret@proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example", "http://proxy.example:80"),
        ("https://proxy.example/", "https://proxy.example:443"),
        ("HTTP://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_address(text: str, address: str) -> None:
    assert str(Proxy.parse("http_proxy", text)) == address


def test_login_is_unquoted_and_not_shown() -> None:
    proxy = Proxy.parse("http_proxy", f"http://d%40n:{SECRET}%2F@proxy.example:3128")
    assert proxy.authorization == b"Basic " + b64encode(f"d@n:{SECRET}/".encode())
    assert SECRET not in f"{proxy!r} {proxy}"
    assert b64encode(f"d@n:{SECRET}/".encode()).decode() not in f"{proxy!r} {proxy}"


@pytest.mark.parametrize(
    "text",
    [
        "socks5://me:s3cret@proxy.example:1080",
        "http://me:s3cret#more@proxy.example:3128",
        "http://me:s3cret/more@proxy.example:3128",
        "http://me/s3cret@proxy.example:3128",
        "http://me:s3cret@proxy.example:port",
        "http://me:s3cret@proxy.example:99999",
        "http://me:s3cret@:3128",
        "http://me:s3cret@proxy.example\r\nX: y",
        "http://[me:s3cret@proxy.example",
    ],
)
def test_other_values_are_refused_by_name_only(text: str) -> None:
    with pytest.raises(BadInput, match="HTTPS_PROXY") as caught:
        Proxy.parse("HTTPS_PROXY", text)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("entry", "host", "port", "expected"),
    [
        ("*", "up.example", 443, True),
        ("up.example", "up.example", 443, True),
        ("up.example", "UP.example.", 443, True),
        ("up.example", "files.up.example", 443, True),
        (".up.example", "files.up.example", 443, True),
        (".up.example", "up.example", 443, True),
        ("*.up.example", "files.up.example", 443, True),
        ("up.example", "backup.example", 443, False),
        ("up.example", "up.example.org", 443, False),
        ("up.example:443", "up.example", 443, True),
        ("up.example:8443", "up.example", 443, False),
        (".", "up.example", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.1.2.3/8", "10.9.9.9", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "up.example", 80, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3:80", "10.1.2.3", 80, True),
        ("10.1.2.3:80", "10.1.2.3", 81, False),
        ("2.3", "10.1.2.3", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:81", "::1", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("fd00::/8", "fd12::1", 80, True),
        ("fd00::/8", "10.1.2.3", 80, False),
        ("localhost", "127.0.0.1", 80, False),
    ],
)
def test_exempt(entry: str, host: str, port: int, expected: bool) -> None:
    assert exempts(entry, host, port) is expected


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "p:1", "HTTPS_PROXY": "p:2"}, "http://p:1", "http://p:2"),
        ({"HTTPS_PROXY": "p:1", "https_proxy": "p:2"}, None, "http://p:2"),
        ({"HTTPS_PROXY": "p:1", "https_proxy": ""}, None, None),
        ({"ALL_PROXY": "p:1", "http_proxy": "p:2"}, "http://p:2", "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "other.example, up.example"}, None, None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "other.example\tup.example:80"}, None, "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "UP.EXAMPLE", "no_proxy": ""}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "UP.EXAMPLE"}, None, None),
        ({"ALL_PROXY": "socks5://p:1", "no_proxy": "*"}, None, None),
        ({"ALL_PROXY": "socks5://p:1", "http_proxy": "p:2", "https_proxy": "p:3"}, "http://p:2", "http://p:3"),
    ],
)
def test_variables(environ: dict[str, str], http: str | None, https: str | None) -> None:
    proxies = Proxies.from_environ(environ)
    found = (proxies.towards("http", "up.example", 80), proxies.towards("https", "up.example", 443))
    assert tuple(proxy and str(proxy) for proxy in found) == (http, https)


def test_a_proxy_of_another_kind_stops_the_start() -> None:
    with pytest.raises(BadInput, match="all_proxy"):
        Proxies.from_environ({"all_proxy": "socks5://proxy.example:1080"})


def outcome(deferred: Deferred[IProtocol]) -> object:
    """The result or the exception of a Deferred, ``None`` while there is neither."""
    seen: list[object] = []

    def see(result: object) -> object:
        seen.append(result.value if isinstance(result, Failure) else result)
        return None if isinstance(result, Failure) else result

    deferred.addBoth(see)
    return seen[0] if seen else None


class Inner(Protocol):
    """Remembers what happens to it."""

    received = b""
    lost: str | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = str(reason.value.args[0]) if reason.value else ""


class Abrupt(StringTransport):
    """Its protocol hears of an abort before the abort returns, which a transport may do."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire

    def abortConnection(self) -> None:
        super().abortConnection()
        self.wire.lose()


@implementer(IStreamClientEndpoint)
@define
class Wire:
    """An endpoint that is connected at once, to a transport that a test can look at."""

    transport: Abrupt = field(init=False)
    protocol: IProtocol | None = None
    lost: bool = False

    def __attrs_post_init__(self) -> None:
        self.transport = Abrupt(self)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's name
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 3128))
        assert protocol is not None
        self.protocol = protocol
        protocol.makeConnection(self.transport)
        return succeed(protocol)

    def sent(self) -> bytes:
        return bytes(self.transport.value())

    def receive(self, data: bytes) -> None:
        assert self.protocol is not None
        self.protocol.dataReceived(data)

    def lose(self) -> None:
        assert self.protocol is not None
        if self.lost:
            return
        self.lost = True
        self.protocol.connectionLost(Failure(ConnectionDone("bye")))


@implementer(IStreamClientEndpoint)
class Closed:
    """An endpoint where nobody listens."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # the interface's name
        return fail(error.ConnectionRefusedError(111))


class TunnelTests(SynchronousTestCase):
    """A tunnel is asked for, opened or refused, and then is out of the way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wire = Wire()
        self.inner = Inner()

    def ask(self, host: str = "files.example", login: str = "") -> Deferred[IProtocol]:
        proxy = Proxy.parse("https_proxy", f"http://{login}proxy.example:3128")
        endpoint = TunnelEndpoint(proxy=proxy, endpoint=self.wire, host=host, port=443, timeout=5, clock=self.clock)
        return endpoint.connect(Factory.forProtocol(lambda: self.inner))

    def refused(self, asked: Deferred[IProtocol]) -> ProxyRefused:
        error = outcome(asked)
        assert isinstance(error, ProxyRefused)
        assert "http://proxy.example:3128 (https_proxy)" in str(error)
        assert self.wire.transport.disconnected
        assert self.inner.transport is None
        assert self.clock.getDelayedCalls() == []
        return error

    def test_request(self) -> None:
        self.ask()
        assert self.wire.sent() == (b"CONNECT files.example:443 HTTP/1.1\r\nHost: files.example:443\r\n\r\n")

    def test_request_for_an_ipv6_address(self) -> None:
        self.ask("2001:db8::1")
        assert self.wire.sent().startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")

    def test_login(self) -> None:
        self.ask(login=f"me:{SECRET}@")
        expected = b"\r\nProxy-Authorization: Basic " + b64encode(f"me:{SECRET}".encode()) + b"\r\n\r\n"
        assert self.wire.sent().endswith(expected)

    def test_opened_byte_by_byte(self) -> None:
        """The head may come in any pieces; what follows it belongs to the wrapped protocol."""
        asked = self.ask()
        for byte in b"HTTP/1.1 200 Connection established\r\nContent-Length: 9\r\n\r\nhello":
            self.wire.receive(bytes([byte]))
        assert outcome(asked) is self.inner
        assert self.inner.received == b"hello"
        assert self.clock.getDelayedCalls() == []

    def test_opened_at_once(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.0 200\r\n\r\nhello")
        assert outcome(asked) is self.inner
        assert self.inner.received == b"hello"

    def test_interim_answers_are_skipped(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 ")
        assert not asked.called
        self.wire.receive(b"200 OK\r\n\r\n")
        assert outcome(asked) is self.inner

    def test_open_tunnel_passes_everything_on(self) -> None:
        self.ask()
        self.wire.receive(b"HTTP/1.1 200 OK\r\n\r\n")
        assert self.inner.transport is not None
        self.inner.transport.write(b"ping")
        assert self.wire.sent().endswith(b"\r\n\r\nping")
        self.wire.receive(b"pong\r\n\r\n")
        assert self.inner.received == b"pong\r\n\r\n"
        IPushProducer(self.inner.transport).pauseProducing()
        assert self.wire.transport.producerState == "paused"
        self.wire.lose()
        assert self.inner.lost == "bye"

    def test_login_wanted(self) -> None:
        asked = self.ask(login=f"me:{SECRET}@")
        self.wire.receive(b"HTTP/1.1 407 Go away, s3cret\r\nProxy-Authenticate: Basic\r\n\r\n<html>")
        error = self.refused(asked)
        assert error.status == 407
        assert "answered 407 (Proxy Authentication Required); asked for a tunnel to files.example:443" in str(error)
        assert SECRET not in f"{error!r} {error} {asked!r} {self.wire.protocol!r}"

    def test_status_without_a_name(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.1 599 Whatever\r\n\r\n")
        assert self.refused(asked).status == 599

    def test_something_that_is_not_http(self) -> None:
        asked = self.ask()
        self.wire.receive(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        error = self.refused(asked)
        assert error.status is None
        assert "did not answer in HTTP" in str(error)

    def test_endless_head(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.1 200 OK\r\n" + b"x" * (HEAD_LIMIT - 18))
        assert not asked.called
        self.wire.receive(b"x")
        assert "more than 16384 bytes" in str(self.refused(asked))
        self.wire.receive(b"\r\n\r\n")
        assert self.inner.transport is None

    def test_head_over_the_limit_with_an_end(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.1 200 OK\r\n" + b"x" * HEAD_LIMIT + b"\r\n\r\n")
        assert "more than 16384 bytes" in str(self.refused(asked))

    def test_hung_up(self) -> None:
        asked = self.ask()
        self.wire.receive(b"HTTP/1.1 2")
        self.wire.lose()
        assert "hung up" in str(self.refused(asked))

    def test_too_late(self) -> None:
        asked = self.ask()
        self.clock.advance(4.9)
        assert not asked.called
        self.clock.advance(0.1)
        assert "did not answer within 5 s" in str(self.refused(asked))
        self.wire.receive(b"HTTP/1.1 200 OK\r\n\r\n")
        assert self.inner.transport is None

    def test_cancelled(self) -> None:
        asked = self.ask()
        asked.cancel()
        assert isinstance(outcome(asked), CancelledError)
        assert self.wire.transport.disconnected
        assert self.clock.getDelayedCalls() == []

    def test_proxy_out_of_reach(self) -> None:
        """The sentence names the proxy and the variable, because the URL that was asked for names another host."""
        endpoint = ProxyEndpoint(Proxy.parse("ALL_PROXY", f"me:{SECRET}@proxy.example:3128"), Closed())
        error = outcome(endpoint.connect(Factory.forProtocol(Inner)))
        assert isinstance(error, ProxyRefused)
        assert "http://proxy.example:3128 (ALL_PROXY) cannot be reached: Connection was refused" in str(error)
        assert SECRET not in f"{error!r} {error} {endpoint!r}"
