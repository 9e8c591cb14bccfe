"""The agent on loopback: kept connections, certificates, proxies."""

from __future__ import annotations

import socket
import tempfile
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import error, reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol, wrapServerTLS
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseNeverReceived, readBody
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from pypicache.core.errors import BadInput
from pypicache.upstream.agents import UpstreamAgent, make_agent, trust_root
from pypicache.upstream.tunnel import ProxyRefused
from tests.test_redirects import ENDLESS, SECRET, Answer, Web

LOGIN = b"Basic " + b64encode(b"me:s3cret")


@cache
def authority(name: str) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate authority of our own."""
    return _issue(name, None, x509.BasicConstraints(ca=True, path_length=None))


def _issue(
    name: str,
    issuer: tuple[EllipticCurvePrivateKey, x509.Certificate] | None,
    extension: x509.ExtensionType,
) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    key, subject = generate_private_key(SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=subject if issuer is None else issuer[1].subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=1),
    ).add_extension(extension, critical=False)
    return key, unsigned.sign(key if issuer is None else issuer[0], SHA256())


def pem(name: str) -> bytes:
    return authority(name)[1].public_bytes(Encoding.PEM)


@cache
def identity(*names: str) -> PrivateCertificate:
    """A server's certificate for host names and addresses, signed by ``ours``."""
    hosts = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    key, certificate = _issue(names[0], authority("ours"), x509.SubjectAlternativeName(hosts))
    both = certificate.public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    loaded: PrivateCertificate = PrivateCertificate.loadPEM(both)
    return loaded


class Counted(WrappingFactory[ProtocolWrapper]):
    """Counts connections, and can end them all."""

    def __init__(self, wrapped: IProtocolFactory) -> None:
        super().__init__(wrapped)
        self.total = 0
        self.ended: Deferred[None] | None = None

    def registerProtocol(self, p: ProtocolWrapper) -> None:  # noqa: N802  # WrappingFactory's name
        self.total += 1
        super().registerProtocol(p)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:  # noqa: N802  # WrappingFactory's name
        super().unregisterProtocol(p)
        if self.ended is not None and not self.protocols:
            self.ended.callback(None)

    async def end(self) -> None:
        if self.protocols:
            self.ended = Deferred()
            for protocol in list(self.protocols):
                protocol.abortConnection()
            await self.ended


class Pipe(Protocol):
    """Passes everything on to another transport, and hangs up with it."""

    def __init__(self, to: ITransport) -> None:
        self.to = to

    def dataReceived(self, data: bytes) -> None:
        self.to.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.to.loseConnection()


class Tunnels(ServerFactory):
    """A proxy that speaks CONNECT and leads to one port of loopback, whatever it is asked for."""

    def __init__(self, port: int, login: bytes | None = None) -> None:
        self.port, self.login = port, login
        self.heads: list[bytes] = []

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: N802  # IProtocolFactory's name
        return Entrance(self)


class Entrance(Protocol):
    """One connection to :class:`Tunnels`. The head of a request comes in one piece, over loopback."""

    def __init__(self, tunnels: Tunnels) -> None:
        self.tunnels = tunnels
        self.pipe: Pipe | None = None

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if self.pipe is not None:
            assert self.pipe.transport is not None
            self.pipe.transport.write(data)
            return
        self.tunnels.heads.append(data)
        if self.tunnels.login is not None and self.tunnels.login not in data:
            self.transport.write(b"HTTP/1.1 407 No\r\n\r\n")
            return
        self.pipe = Pipe(self.transport)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.tunnels.port)
        opened = connectProtocol(endpoint, self.pipe)
        opened.addCallbacks(
            lambda pipe: pipe.to.write(b"HTTP/1.1 200 OK\r\n\r\n"),
            lambda _: self.pipe.to.write(b"HTTP/1.1 502 No\r\n\r\n"),
        )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.pipe is not None and self.pipe.transport is not None:
            self.pipe.transport.loseConnection()


class LimitTests(SynchronousTestCase):
    """What the agent was told about time and numbers arrives where it counts."""

    def test_limits(self) -> None:
        memory = MemoryReactorClock()
        agent = make_agent(memory, ca_bundle=None, environ={}, connections=3, connect_timeout=7)
        agent.request(b"GET", b"http://127.0.0.1:9/")
        ((_, _, _, timeout, _),) = memory.tcpClients
        assert timeout == 7
        assert (agent.pool.maxPersistentPerHost, agent.pool.cachedConnectionTimeout) == (3, 55)
        assert agent.pool.retryAutomatically


class AgentTests(TestCase):
    """Each test has its own servers, and ends with no connection left."""

    timeout = 20

    def setUp(self) -> None:
        self.web = Web({})
        self.logged: list[str] = []
        note = cast(ILogObserver, self.note)
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.bundle = self.file("bundle.pem", b"# two of them\n" + pem("theirs") + b"\n" + pem("ours"))

    def tearDown(self) -> None:
        assert SECRET not in " ".join(self.logged)
        assert LOGIN.decode() not in " ".join(self.logged)

    def file(self, name: str, content: bytes) -> Path:
        (self.directory / name).write_bytes(content)
        return self.directory / name

    def note(self, event: LogEvent) -> None:
        self.logged.append(formatEvent(event))

    async def listen(self, factory: IProtocolFactory, tls: PrivateCertificate | None = None) -> tuple[int, Counted]:
        """Listen on loopback, until the end of the test; the port, and the count of connections."""
        counted = Counted(factory)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        listening: IListeningPort = await (endpoint if tls is None else wrapServerTLS(tls.options(), endpoint)).listen(
            counted
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(counted.end()))
        self.addCleanup(listening.stopListening)
        return cast(IPv4Address, listening.getHost()).port, counted

    async def site(self, tls: PrivateCertificate | None = None) -> tuple[int, Counted]:
        return await self.listen(Site(self.web), tls)

    def agent(self, environ: Mapping[str, str] = MappingProxyType({}), *, trusted: Path | None = None) -> UpstreamAgent:
        agent = make_agent(
            cast(IReactorTime, reactor), ca_bundle=trusted, environ=environ, connections=4, connect_timeout=5
        )
        self.addCleanup(agent.close)
        return agent

    async def get(self, agent: UpstreamAgent, url: str) -> int:
        """Ask, read the body to its end, and return the status."""
        response = await agent.request(b"GET", url.encode(), Headers({"Accept": ["*/*"]}))
        await readBody(response)
        assert response.request.absoluteURI == url.encode()
        status: int = response.code
        return status

    async def failed(self, agent: UpstreamAgent, url: str) -> BaseException:
        """Ask, and return the exception."""
        try:
            await agent.request(b"GET", url.encode())
        except Exception as failure:
            assert SECRET not in f"{failure!r} {failure}"
            return failure
        raise AssertionError(f"{url} was answered")

    async def test_connections_are_kept(self) -> None:
        port, counted = await self.site()
        agent = self.agent()
        assert [await self.get(agent, f"http://127.0.0.1:{port}/{n}") for n in range(3)] == [200] * 3
        assert counted.total == 1

    async def test_a_redirect_keeps_its_connection(self) -> None:
        port, counted = await self.site()
        self.web.answers = {f"http://127.0.0.1:{port}/a": Answer(302, b"/b", size=900)}
        response = await self.agent().request(b"GET", f"http://127.0.0.1:{port}/a".encode())
        await readBody(response)
        assert (response.code, counted.total) == (200, 1)

    async def test_a_redirect_with_an_endless_body(self) -> None:
        """Its connection is given up, and does not linger."""
        port, counted = await self.site()
        self.web.answers = {f"http://127.0.0.1:{port}/a": Answer(302, b"/b", size=ENDLESS)}
        response = await self.agent().request(b"GET", f"http://127.0.0.1:{port}/a".encode())
        await readBody(response)
        assert (response.code, counted.total) == (200, 2)
        with pytest.raises(error.ConnectionDone):
            await self.web.given_up

    async def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        refused = await self.failed(self.agent(), f"http://127.0.0.1:{port}/")
        assert isinstance(refused, error.ConnectionRefusedError)
        refused = await self.failed(self.agent({"HTTP_PROXY": f"me:{SECRET}@127.0.0.1:{port}"}), "http://up.example/")
        assert isinstance(refused, ProxyRefused)
        assert f"http://127.0.0.1:{port} (HTTP_PROXY) cannot be reached" in str(refused)

    async def test_trusted_authority(self) -> None:
        port, counted = await self.site(identity("127.0.0.1", "localhost"))
        agent = self.agent({"SSL_CERT_FILE": "/nowhere"}, trusted=self.bundle)
        assert [await self.get(agent, f"https://127.0.0.1:{port}/{n}") for n in range(3)] == [200] * 3
        assert counted.total == 1
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            assert await self.get(self.agent({variable: str(self.bundle)}), f"https://127.0.0.1:{port}/") == 200

    async def test_unknown_authority(self) -> None:
        port, _ = await self.site(identity("127.0.0.1"))
        other = self.file("other.pem", pem("theirs"))
        for agent in (self.agent(trusted=other), self.agent()):
            refused = await self.failed(agent, f"https://127.0.0.1:{port}/")
            assert isinstance(refused, ResponseNeverReceived)
            assert "certificate verify failed" in str(refused)
        assert self.web.seen == []

    async def test_certificate_of_another_host(self) -> None:
        port, _ = await self.site(identity("up.example"))
        refused = await self.failed(self.agent(trusted=self.bundle), f"https://127.0.0.1:{port}/")
        assert "VerificationError" in str(refused)
        assert self.web.seen == []

    def test_bundles_that_cannot_be_used(self) -> None:
        bundle = self.directory / "unusable.pem"
        for content, why in [
            (None, "No such file"),
            (b"", "found none"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "cannot be read"),
        ]:
            if content is not None:
                bundle.write_bytes(content)
            with pytest.raises(BadInput, match=why) as caught:
                trust_root(None, {"CURL_CA_BUNDLE": str(bundle), "REQUESTS_CA_BUNDLE": ""})
            assert "CURL_CA_BUNDLE = " in str(caught.value)

    async def test_a_directory_of_certificates(self) -> None:
        port, _ = await self.site(identity("127.0.0.1"))
        self.file("0123abcd.0", pem("ours"))  # under two names, as c_rehash does it
        self.file("README", b"no certificate")
        assert (
            await self.get(self.agent({"REQUESTS_CA_BUNDLE": str(self.directory)}), f"https://127.0.0.1:{port}/") == 200
        )

    async def test_tunnel(self) -> None:
        """One tunnel serves many requests, and only the proxy gets to see the proxy's password."""
        port, counted = await self.site(identity("files.example"))
        proxy = Tunnels(port, LOGIN)
        entrance, entered = await self.listen(proxy)
        agent = self.agent({"https_proxy": f"http://me:{SECRET}@127.0.0.1:{entrance}"}, trusted=self.bundle)
        assert [await self.get(agent, f"https://files.example/{n}") for n in range(3)] == [200] * 3
        assert (counted.total, entered.total) == (1, 1)
        assert proxy.heads == [
            b"CONNECT files.example:443 HTTP/1.1\r\nHost: files.example:443\r\n"
            b"Proxy-Authorization: " + LOGIN + b"\r\n\r\n"
        ]
        assert self.web.urls() == [f"https://files.example/{n}" for n in range(3)]
        assert self.web.header("proxy-authorization") == [None] * 3

    async def test_tunnel_inside_tls(self) -> None:
        port, _ = await self.site(identity("files.example"))
        entrance, _ = await self.listen(Tunnels(port), identity("127.0.0.1"))
        agent = self.agent({"https_proxy": f"https://127.0.0.1:{entrance}"}, trusted=self.bundle)
        self.web.answers = {"https://files.example/big": Answer(size=3_000_000)}
        response = await agent.request(b"GET", b"https://files.example/big")
        assert len(await readBody(response)) == 3_000_000

    async def test_certificates_are_checked_inside_the_tunnel(self) -> None:
        port, _ = await self.site(identity("127.0.0.1"))
        entrance, _ = await self.listen(Tunnels(port))
        agent = self.agent({"https_proxy": f"127.0.0.1:{entrance}"}, trusted=self.bundle)
        assert "VerificationError" in str(await self.failed(agent, "https://files.example/"))
        assert self.web.seen == []

    async def test_tunnel_refused(self) -> None:
        entrance, _ = await self.listen(Tunnels(1, LOGIN))
        agent = self.agent({"ALL_PROXY": f"http://you:{SECRET}@127.0.0.1:{entrance}"})
        refused = await self.failed(agent, "https://files.example/")
        assert isinstance(refused, ProxyRefused)
        assert refused.status == 407

    async def test_whole_urls_to_a_proxy(self) -> None:
        """What is not encrypted goes to the proxy as it is; its connections serve all hosts."""
        port, counted = await self.site()
        agent = self.agent({"http_proxy": f"me:{SECRET}@127.0.0.1:{port}", "no_proxy": "up.example:81"})
        self.web.answers = {"http://up.example/b": Answer(407)}
        assert await self.get(agent, "http://up.example/a?b=c") == 200
        assert await self.get(agent, "http://files.example:8080/") == 200
        refused = await self.failed(agent, "http://up.example/b")
        assert isinstance(refused, ProxyRefused)
        assert refused.status == 407
        assert self.web.urls() == ["http://up.example/a?b=c", "http://files.example:8080/", "http://up.example/b"]
        assert self.web.header("host") == ["up.example", "files.example:8080", "up.example"]
        assert self.web.header("proxy-authorization") == [LOGIN.decode()] * 3
        assert counted.total == 1

    async def test_no_proxy(self) -> None:
        port, _ = await self.site()
        agent = self.agent({"http_proxy": "127.0.0.1:1", "no_proxy": "127.0.0.0/8"})
        assert await self.get(agent, f"http://127.0.0.1:{port}/") == 200
        assert isinstance(await self.failed(agent, "http://up.example/"), ProxyRefused)

    async def test_a_redirect_may_lead_from_one_way_to_another(self) -> None:
        port, _ = await self.site()
        agent = self.agent({"http_proxy": f"me:{SECRET}@127.0.0.1:{port}", "no_proxy": "127.0.0.1"})
        self.web.answers = {"http://up.example/a": Answer(302, f"http://127.0.0.1:{port}/b".encode())}
        headers = Headers({"Authorization": ["x"]})
        response = await agent.request(b"GET", b"http://up.example/a", headers)
        await readBody(response)
        assert self.web.urls() == ["http://up.example/a", f"http://127.0.0.1:{port}/b"]
        assert self.web.header("proxy-authorization") == [LOGIN.decode(), None]
        assert not headers.hasHeader("proxy-authorization")
        assert self.web.header("authorization") == ["x", None]
