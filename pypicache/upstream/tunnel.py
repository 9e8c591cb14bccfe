"""The proxies that the environment names, and the tunnel through one (RFC 9110 section 9.3.6, CONNECT)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import cast
from urllib.parse import unquote, urlsplit

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from pypicache.core.errors import BadInput

HEAD_LIMIT = 16 * 1024  # bytes of a proxy's answer before its blank line
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?:[ \r\n]|\Z)")


class ProxyRefused(ConnectError):
    """A proxy could not be reached, or did not let us through.

    :ivar status: what it answered (407: it wants a login); ``None`` if it gave no answer in HTTP.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(None, sentence)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


@frozen(kw_only=True)
class Proxy:
    """A proxy as one environment variable describes it. Shown without its credentials, always."""

    variable: str
    scheme: str  # http: plain to the proxy; https: TLS to the proxy as well
    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)  # value of Proxy-Authorization (RFC 7617)

    @classmethod
    def parse(cls, variable: str, text: str) -> Proxy:
        """Read ``[http[s]://][user:password@]host[:port]``; ports default to 80 and 443.

        :raises BadInput: anything else; the sentence names the variable, because the value may hold a password.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            rest = parts.path.strip("/") or parts.query or parts.fragment
        except ValueError:
            parts, port, rest = urlsplit(""), 0, ""
        if parts.scheme not in {"http", "https"} or not parts.hostname or rest or re.search(r"[^\x21-\x7e]", text):
            # Raised out here, so that the ValueError, which quotes a part of the value, is not its context.
            raise BadInput(f"{variable}: expected the URL of a proxy, http://[user:password@]host:port (or https://)")
        authorization = None
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = b"Basic " + b64encode(login.encode())
        return cls(variable=variable, scheme=parts.scheme, host=parts.hostname, port=port, authorization=authorization)

    def __str__(self) -> str:
        """The address, for sentences."""
        return f"{self.scheme}://{host_and_port(self.host, self.port)}"


@frozen(kw_only=True)
class Proxies:
    """Which proxy leads to which URL: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, read as curl does."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()  # entries of NO_PROXY in lower case

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Proxies:
        """Read the variables; a lower case name beats the upper case one, even when its value is empty.

        :raises BadInput: a variable that would be used names something that is not an HTTP proxy.
        """

        def value(name: str) -> tuple[str, str]:
            name = name if name in environ else name.upper()
            return name, environ.get(name, "").strip()

        def proxy(name: str) -> Proxy | None:
            variable, text = next((pair for pair in (value(name), value("all_proxy")) if pair[1]), ("", ""))
            return Proxy.parse(variable, text) if text else None

        exempt = tuple(entry for entry in re.split(r"[,\s]+", value("no_proxy")[1].lower()) if entry)
        if "*" in exempt:
            return cls()
        return cls(http=proxy("http_proxy"), https=proxy("https_proxy"), exempt=exempt)

    def towards(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for an origin; ``None``: connect directly.

        :param host: a name, or an IP address without brackets.
        """
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or any(exempts(entry, host, port) for entry in self.exempt):
            return None
        return proxy


def exempts(entry: str, host: str, port: int) -> bool:
    """Tell whether an entry of NO_PROXY means this host: ``*``, a domain and what is below it, an address, a network.

    An entry may end in ``:port`` and then means that port only.
    """
    if entry == "*":
        return True
    name, wanted = entry, ""
    if found := re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*):(\d+)", entry):
        name, wanted = found[1] or found[3] or "", found[2] or found[4] or ""
    if wanted and int(wanted) != port:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        domain = name.removeprefix("*").strip(".")
        return bool(domain) and f".{host.lower().rstrip('.')}".endswith(f".{domain}")
    try:
        return address in ip_network(name, strict=False)
    except ValueError:
        return False


def host_and_port(host: str, port: int) -> str:
    """Host and port as a URL's authority has them, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@implementer(IStreamClientEndpoint)
@frozen
class ProxyEndpoint:
    """The way to a proxy itself; says so when it cannot be reached, because the URL asked for names another host."""

    proxy: Proxy
    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # IStreamClientEndpoint's name
        """Connect to the proxy, and no further.

        :raises ProxyRefused: it cannot be reached.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            return await self.endpoint.connect(factory)
        except (ConnectError, DNSLookupError) as error:
            raise ProxyRefused(f"The proxy {self.proxy} ({self.proxy.variable}) cannot be reached: {error}") from error


@implementer(IStreamClientEndpoint)
@frozen(kw_only=True)
class TunnelEndpoint:
    """A connection to ``host:port`` that a proxy makes for us."""

    proxy: Proxy
    endpoint: IStreamClientEndpoint  # leads to the proxy
    host: str
    port: int
    timeout: float  # seconds from the connection to the proxy until its answer
    clock: IReactorTime

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803  # IStreamClientEndpoint's name
        """Connect to the proxy, ask for a tunnel, and hand it over when it is open.

        :raises ProxyRefused: no tunnel: refused, nonsense, more than 16 KiB of it, too late, or hung up.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        tunnel = await self.endpoint.connect(_TunnelFactory(factory, self))
        assert isinstance(tunnel, _Tunnel)
        inner = tunnel.wrappedProtocol
        await tunnel.opened
        return inner


class _Tunnel(ProtocolWrapper):
    """One tunnel, from the request for it to its end; afterwards it only passes on what comes.

    ::

        we                                proxy                       origin
        | -- CONNECT host:port HTTP/1.1 --> |                           |
        |                                   | ------ TCP connection --> |
        | <-- HTTP/1.1 200, blank line ---- |                           |
        | <==== whatever the wrapped protocol speaks, e.g. TLS =======> |
    """

    def __init__(self, factory: WrappingFactory[_Tunnel], wrapped: IProtocol, wanted: TunnelEndpoint) -> None:
        super().__init__(factory, wrapped)
        self.opened: Deferred[None] = Deferred(self._cancelled)
        self._wanted = wanted
        self._target = host_and_port(wanted.host, wanted.port)
        self._head = b""
        self._passing = False
        self._late: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:  # IProtocol's name
        """Ask for the tunnel. The wrapped protocol is connected when it is open."""
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self._late = self._wanted.clock.callLater(self._wanted.timeout, self._time_out)
        lines = [f"CONNECT {self._target} HTTP/1.1".encode(), f"Host: {self._target}".encode()]
        if self._wanted.proxy.authorization is not None:
            lines.append(b"Proxy-Authorization: " + self._wanted.proxy.authorization)
        transport.write(b"\r\n".join([*lines, b"", b""]))

    def dataReceived(self, data: bytes) -> None:
        """Read the head of the answer; then pass everything on."""
        if self._passing:
            self.wrappedProtocol.dataReceived(data)
            return
        if self.opened.called:  # refused; the connection is about to end
            return
        self._head += data
        # Interim answers (RFC 9110 section 15.2) come before the one that counts.
        while (end := _BLANK_LINE.search(self._head, 0, HEAD_LIMIT)) is not None:
            status = _STATUS_LINE.match(self._head)
            head_end, code = end.end(), 0 if status is None else int(status[1])
            if 100 <= code < 200:
                self._head = self._head[head_end:]
                continue
            if status is None:
                self._refuse("did not answer in HTTP")
            elif code < 300:
                self._open(self._head[head_end:])
            else:
                self._refuse(f"answered {code}{_phrase(code)}", code)
            return
        if len(self._head) >= HEAD_LIMIT:
            self._refuse(f"sent more than {HEAD_LIMIT} bytes without an end of the headers")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell whoever is concerned: the wrapped protocol, or the one who waits for the tunnel."""
        if self._passing:
            super().connectionLost(reason)
            return
        self.factory.unregisterProtocol(self)
        self._refuse(f"hung up: {reason.getErrorMessage()}")

    def _open(self, rest: bytes) -> None:
        self._passing = True
        self._head = b""
        self._settled()
        self.wrappedProtocol.makeConnection(cast(ITransport, self))
        self.opened.callback(None)
        if rest and self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(rest)

    def _refuse(self, what: str, status: int | None = None) -> None:
        if self.opened.called:
            return
        self._settled()
        proxy = self._wanted.proxy
        sentence = f"The proxy {proxy} ({proxy.variable}) {what}; asked for a tunnel to {self._target}"
        self.opened.errback(ProxyRefused(sentence, status))
        self.abortConnection()

    def _time_out(self) -> None:
        self._late = None
        self._refuse(f"did not answer within {self._wanted.timeout:g} s")

    def _cancelled(self, opened: Deferred[None]) -> None:
        # First the error, then the abort: losing the connection must not be taken for the cause.
        self._settled()
        opened.errback(CancelledError())
        self.abortConnection()

    def _settled(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _TunnelFactory(WrappingFactory[_Tunnel]):
    """Builds one :class:`_Tunnel` around what the wrapped factory builds."""

    noisy = False

    def __init__(self, wrapped: IProtocolFactory, wanted: TunnelEndpoint) -> None:
        super().__init__(wrapped)
        self.protocol = lambda factory, inner: _Tunnel(factory, inner, wanted)


def _phrase(status: int) -> str:
    """The registered name of a status; what the proxy wrote beside it is not repeated."""
    return f" ({HTTPStatus(status).phrase})" if status in HTTPStatus._value2member_map_ else ""
