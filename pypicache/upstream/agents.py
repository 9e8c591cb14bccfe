"""The HTTP agent towards upstream indexes: kept connections, trusted certificates, proxies, redirects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from attrs import field, frozen
from OpenSSL.crypto import Error as CryptoError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HostnameCachingHTTPSPolicy,
    HTTPConnectionPool,
    ProxyAgent,
    _HTTP11ClientFactory,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from pypicache.core.addresses import is_private
from pypicache.core.errors import BadInput
from pypicache.core.spec import origin
from pypicache.upstream.origins import Origins
from pypicache.upstream.tunnel import Proxies, Proxy, ProxyEndpoint, ProxyRefused, TunnelEndpoint

REDIRECTS = 10  # how many are followed for one request
KEPT_ALIVE = 55  # seconds an idle connection is kept; most servers and balancers hang up at 60
DISCARDED = 64 * 1024  # bytes of a redirect's body that are read to save the connection

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
FOLLOWED = frozenset({301, 302, 303, 307, 308})
FOR_ONE_ORIGIN = frozenset(
    {b"authorization", b"cookie", b"cookie2", b"host", b"proxy-authorization", b"www-authenticate"}
)

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NOT_IN_URLS = re.compile(rb"[^\x21-\x7e]")


class RedirectRefused(Exception):
    """An upstream redirects too often, or to something that is not a web page. The sentence names origins only."""


def make_agent(
    reactor: IReactorTime,
    *,
    ca_bundle: Path | None,
    environ: Mapping[str, str],
    connections: int,
    connect_timeout: float,
    public_only: bool = False,
) -> UpstreamAgent:
    """The agent as the daemon uses it.

    :param reactor: also connects (IReactorTCP) and resolves names.
    :param ca_bundle: PEM file of the only certificate authorities to trust;
        ``None``: what ``environ`` names, or else the platform's.
    :param environ: where HTTP_PROXY and its kin, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE are looked up.
    :param connections: idle connections kept per origin (and per proxy); more may be open at a time.
    :param connect_timeout: seconds for a TCP connection, and again for a proxy's answer to CONNECT.
    :param public_only: connect to no address of a private network, whatever a name stands for; proxies are exempt, and
        decide for themselves whom they connect to.
    :raises BadInput: a bundle that cannot be read, or a proxy of a kind that we do not speak.
    """
    pool = HTTPConnectionPool(reactor)
    pool._factory = _QuietFactory  # Twisted has no public way to keep two lines per connection out of the log
    pool.maxPersistentPerHost = connections
    pool.cachedConnectionTimeout = KEPT_ALIVE
    # Without the cache each request, also one over a kept connection, would read the platform's store again.
    policy = HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS(trust_root(ca_bundle, environ)), cacheSize=100)
    routes = _Routes(
        reactor=reactor,
        policy=policy,
        proxies=Proxies.from_environ(environ),
        connect_timeout=connect_timeout,
        direct=PublicOnly(reactor) if public_only else reactor,
    )
    direct = Agent.usingEndpointFactory(reactor, routes, pool)
    origins = Origins(reactor, routes.endpointForURI, most=connections, kept=KEPT_ALIVE)
    return UpstreamAgent(_Routed(direct, routes, pool, origins), pool, origins)


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


def trust_root(ca_bundle: Path | None, environ: Mapping[str, str]) -> object:
    """The certificate authorities to believe, as Twisted's TLS policies take them.

    :raises BadInput: the bundle that was named cannot be read, or has no certificate in it.
    """
    named = next(((name, environ[name]) for name in BUNDLE_VARIABLES if environ.get(name)), None)
    if ca_bundle is not None:
        return _bundle("ca_bundle", ca_bundle)
    if named is not None:
        return _bundle(named[0], Path(named[1]))
    return platformTrust()


def _bundle(key: str, path: Path) -> object:
    # REQUESTS_CA_BUNDLE may name a directory, as c_rehash makes it: the same files under several names.
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        pems = dict.fromkeys(pem for file in files for pem in _CERTIFICATE.findall(file.read_bytes()))
    except OSError as error:
        raise BadInput(f"{key} = {str(path)!r}: {error.strerror}") from error
    if not pems:
        raise BadInput(f"{key} = {str(path)!r}: expected certificates in PEM format, found none")
    try:
        certificates = [Certificate.loadPEM(pem) for pem in pems]
    except (CryptoError, ValueError) as error:
        raise BadInput(f"{key} = {str(path)!r}: a certificate in it cannot be read") from error
    return trustRootFromCertificates(certificates)


@implementer(IAgent)
@frozen
class UpstreamAgent:
    """Follows redirects of GET and HEAD; any other method gets the redirect itself as its answer.

    Twisted's own redirect agents leave the body of a redirect unread, which keeps the connection paused for ever,
    and the browser-like one turns HEAD into GET.
    """

    agent: IAgent
    pool: HTTPConnectionPool
    origins: Origins | None = None

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # IAgent's name
    ) -> Deferred[IResponse]:
        """Ask, and follow up to ten redirects; ``request.absoluteURI`` of the answer is the URL that gave it.

        ``Authorization``, cookies and ``Host`` are for the first origin: gone after a redirect to another one.

        :raises RedirectRefused: too many redirects, or one to something else than ``http://`` and ``https://``.
        :raises ProxyRefused: no way through the proxy.
        :raises ValueError: the URL has credentials in it; they belong into a header, where no log shows them.
        """
        return Deferred.fromCoroutine(self._follow(method, uri, headers or Headers(), bodyProducer))

    def close(self) -> Deferred[None]:
        """Hang up on idle connections; fires when they are gone."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self.pool.closeCachedConnections()
        if self.origins is not None:
            await self.origins.close()

    async def _follow(self, method: bytes, uri: bytes, headers: Headers, body: IBodyProducer | None) -> IResponse:
        url = uri.decode("ascii")
        if "#" in url:
            url = urldefrag(url).url
        if "@" in url and "@" in urlsplit(url).netloc:
            raise ValueError("credentials in the URL of a request; expected them in a header")
        previous: IResponse | None = None
        for _ in range(REDIRECTS + 1):
            response = await self.agent.request(method, url.encode("ascii"), headers, body)
            if previous is not None:
                response.setPreviousResponse(previous)
            if response.code not in FOLLOWED or method not in {b"GET", b"HEAD"}:
                return response
            location = response.headers.getRawHeaders(b"location")
            if not location:
                return response
            await discard(response)
            target = _target(url, location[0])
            if origin(target) != origin(url):
                headers = _for_anyone(headers)
            url, previous = target, response
        raise RedirectRefused(f"{_shown(url)}: more than {REDIRECTS} redirects")


def _target(url: str, location: bytes) -> str:
    # Bytes outside ASCII are sent as they are by some servers, though they should be quoted (RFC 9110 section 10.2.2).
    quoted = _NOT_IN_URLS.sub(lambda found: b"%%%02X" % found[0][0], location.strip()).decode("ascii")
    try:
        target = urlsplit(urldefrag(urljoin(url, quoted)).url)
        valid = target.scheme in {"http", "https"} and bool(target.hostname) and (target.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise RedirectRefused(f"{_shown(url)}: redirects to something that is neither http:// nor https://")
    # Credentials that a server writes into its answer are not ours to use.
    return target._replace(netloc=target.netloc.rpartition("@")[2]).geturl()


def _for_anyone(headers: Headers) -> Headers:
    kept = Headers()
    for name, values in headers.getAllRawHeaders():
        if name.lower() not in FOR_ONE_ORIGIN:
            kept.setRawHeaders(name, values)
    return kept


def _shown(url: str) -> str:
    # Paths and queries may be signed: whoever reads them may download.
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


@implementer(IReactorPluggableNameResolver)
class PublicOnly:
    """A reactor for which names stand for no address of a private network.

    It is the address that is connected to that is judged, so a name that changes its mind in between gains nothing.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.nameResolver = _PublicNames(reactor)  # the interface's name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
@frozen
class _PublicNames:
    reactor: Any

    def resolveHostName(  # noqa: N802  # IHostnameResolver's name
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  # the interface's
        hostName: str,  # noqa: N803  # the interface's
        portNumber: int = 0,  # the interface's
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803  # the interface's
        transportSemantics: str = "TCP",  # noqa: N803  # the interface's
    ) -> IHostResolution:
        answer: IHostResolution = self.reactor.nameResolver.resolveHostName(
            _Sieve(resolutionReceiver), hostName, portNumber, addressTypes, transportSemantics
        )
        return answer


@implementer(IResolutionReceiver)
@frozen
class _Sieve:
    """Lets through the addresses that are not private."""

    receiver: IResolutionReceiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803
        self.receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:  # noqa: N802
        if not is_private(address.host):
            self.receiver.addressResolved(address)

    def resolutionComplete(self) -> None:  # noqa: N802
        self.receiver.resolutionComplete()


@implementer(IAgent)
@frozen
class _Routed:
    """Sends ``http`` requests through a proxy with the whole URL in them (RFC 9112 section 3.2.2), if there is one."""

    direct: IAgent
    routes: _Routes
    pool: HTTPConnectionPool
    origins: Origins
    _through: dict[Proxy, ProxyAgent] = field(factory=dict, init=False)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # IAgent's name
    ) -> Deferred[IResponse]:
        proxy = None
        if self.routes.proxies.http is not None and uri[:5].lower() == b"http:":
            proxy = self.routes.proxy(URI.fromBytes(uri))
        if proxy is None:
            ours = bodyProducer is None and method in {b"GET", b"HEAD"}
            return (self.origins if ours else self.direct).request(method, uri, headers, bodyProducer)
        return Deferred.fromCoroutine(self._request(proxy, method, uri, headers or Headers(), bodyProducer))

    async def _request(
        self, proxy: Proxy, method: bytes, uri: bytes, headers: Headers, body: IBodyProducer | None
    ) -> IResponse:
        # One agent for each proxy, because ProxyAgent finds its kept connections by the endpoint's identity.
        if proxy not in self._through:
            endpoint = self.routes.endpoint_of(proxy)
            self._through[proxy] = ProxyAgent(endpoint, self.routes.reactor, self.pool)
        if proxy.authorization is not None:
            headers = headers.copy()
            headers.setRawHeaders(b"proxy-authorization", [proxy.authorization])
        response: IResponse = await self._through[proxy].request(method, uri, headers, body)
        if response.code == 407:
            await discard(response)
            raise ProxyRefused(
                f"The proxy {proxy} ({proxy.variable}) answered 407 (Proxy Authentication Required)", 407
            )
        return response


@implementer(IAgentEndpointFactory)
@frozen(kw_only=True)
class _Routes:
    """How to get a connection to an origin: straight, or through a tunnel; with TLS for ``https``."""

    reactor: IReactorTime
    policy: IPolicyForHTTPS
    proxies: Proxies
    connect_timeout: float  # seconds
    direct: object  # the reactor for connections that go through no proxy

    def proxy(self, uri: URI) -> Proxy | None:
        return self.proxies.towards(uri.scheme.decode("ascii"), uri.host.decode("ascii"), uri.port)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: N802  # IAgentEndpointFactory's name
        if uri.scheme not in {b"http", b"https"}:
            raise SchemeNotSupported(f"{uri.scheme!r}: expected http or https")
        host = uri.host.decode("ascii")
        if uri.scheme == b"http":
            return self._tcp(self.direct, host, uri.port)
        proxy = self.proxy(uri)
        if proxy is None:
            return self._tls(host, uri.port, self._tcp(self.direct, host, uri.port))
        tunnel = TunnelEndpoint(
            proxy=proxy,
            endpoint=self.endpoint_of(proxy),
            host=host,
            port=uri.port,
            timeout=self.connect_timeout,
            clock=self.reactor,
        )
        return self._tls(host, uri.port, tunnel)

    def endpoint_of(self, proxy: Proxy) -> IStreamClientEndpoint:
        tcp = self._tcp(self.reactor, proxy.host, proxy.port)
        return ProxyEndpoint(proxy, self._tls(proxy.host, proxy.port, tcp) if proxy.scheme == "https" else tcp)

    def _tcp(self, reactor: object, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(reactor, host, port, timeout=self.connect_timeout)

    def _tls(self, host: str, port: int, inside: IStreamClientEndpoint) -> IStreamClientEndpoint:
        return wrapClientTLS(self.policy.creatorForNetloc(host.encode("ascii"), port), inside, self.reactor)


def discard(response: IResponse) -> Deferred[None]:
    """Read a body that nobody wants, so that its connection can be used again; hang up if it is a long one."""
    discarding = _Discard()
    response.deliverBody(discarding)
    return discarding.done


class _Discard(Protocol):
    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())
        self._received = 0

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > DISCARDED and not self.done.called:
            self._hang_up()
            self.done.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(None)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
