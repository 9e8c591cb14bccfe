"""A network in memory with what a real one has: buffers that fill up, readers that rest, connections that break."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.server import Site
from zope.interface import implementer

FULL = 2**16  # bytes in a transport's buffer above which its producer is paused, as on a socket
DELIVERED = 2**16  # bytes handed over at a time


@implementer(ITransport, IPushProducer, IConsumer)
class End:
    """One end of a connection, as its protocol sees it."""

    disconnecting = False

    def __init__(self, network: Network, protocol: Any) -> None:
        self.network = network
        self.protocol = protocol
        self.other: End
        self.out = bytearray()
        self.most = 0  # bytes that ever waited here
        self.reading = True
        self.lost = False
        self._producer: Any = None
        self._streaming = False
        self._told_to_pause = False

    # -- the protocol's side ---------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.lost or self.disconnecting:
            return
        self.out += data
        self.most = max(self.most, len(self.out))
        if len(self.out) > FULL and self._producer is not None and self._streaming and not self._told_to_pause:
            self._told_to_pause = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:  # noqa: N802 -- the name is part of ITransport
        for piece in data:
            self.write(piece)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer, self._streaming, self._told_to_pause = producer, streaming, False

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.network.sever(self, ConnectionLost())

    def getPeer(self) -> IPv4Address:  # noqa: N802 -- the name is part of ITransport
        return IPv4Address("TCP", "192.0.2.1", 1234)

    getHost = getPeer  # noqa: N815 -- the name is part of ITransport

    # -- the network's side ----------------------------------------------------------------------------------------

    def move(self) -> bool:
        """Hand over what waits here, or the news of the end; ``False`` if there is nothing to do."""
        if self.lost:
            return False
        if self.out and self.other.reading:
            piece = bytes(self.out[:DELIVERED])
            del self.out[:DELIVERED]
            self.other.protocol.dataReceived(piece)
            return True
        if not self.out and self._producer is not None and (self._told_to_pause or not self._streaming):
            self._told_to_pause = False
            self._producer.resumeProducing()
            return True
        if not self.out and self.disconnecting and self.other.reading:
            self.network.sever(self, ConnectionDone())
            return True
        return False


class Network:
    """Connections between agents and sites."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ends: list[End] = []
        self.refuses = False  # nobody can be reached
        self._broken: list[tuple[Any, Exception]] = []

    def connect(self, client: Any, server: Any) -> None:
        """Join two protocols."""
        here, there = End(self, client), End(self, server)
        here.other, there.other = there, here
        self.ends += [here, there]
        server.makeConnection(there)
        client.makeConnection(here)

    def sever(self, end: End, reason: Exception) -> None:
        """End a connection; both sides hear of it at the next :meth:`flush`."""
        for side in (end, end.other):
            if not side.lost:
                side.lost = True
                self._broken.append((side.protocol, reason))
        self.ends = [side for side in self.ends if not side.lost]

    def flush(self) -> None:
        """Let everything that is on its way arrive, as far as somebody reads it."""
        for _ in range(100_000):
            self.clock.advance(0)
            moved = [end.move() for end in list(self.ends)]
            broken, self._broken = self._broken, []
            for protocol, reason in broken:
                protocol.connectionLost(Failure(reason))
            if not any(moved) and not broken:
                return
        raise AssertionError("the network does not come to rest")


@implementer(IAgentEndpointFactory)
class _Places:
    def __init__(self, network: Network, site: Site) -> None:
        self._network = network
        self._site = site

    def endpointForURI(self, uri: Any) -> _Place:  # noqa: N802 -- the name is part of IAgentEndpointFactory
        return _Place(self._network, self._site)


class _Place:
    def __init__(self, network: Network, site: Site) -> None:
        self._network = network
        self._site = site

    def connect(self, factory: Any) -> Deferred[Any]:
        """Join a client's protocol with a new one of the site."""
        if self._network.refuses:
            return fail(ConnectError(string="refused"))
        protocol: Protocol = factory.buildProtocol(None)
        self._network.connect(protocol, self._site.buildProtocol(IPv4Address("TCP", "192.0.2.2", 4321)))
        return succeed(protocol)


class NetworkAgent:
    """A real agent that reaches one site over the network."""

    def __init__(self, network: Network, site: Site) -> None:
        self._network = network
        self._site = site
        self._agent = Agent.usingEndpointFactory(network.clock, _Places(network, site))

    def request(self, method: bytes, uri: bytes, headers: Headers | None = None, body: Any = None) -> Deferred[Any]:
        """Send one request (``IAgent``)."""
        answer: Deferred[Any] = self._agent.request(method, uri, headers, body)
        return answer

    def connect(self, client: Protocol) -> None:
        """Join a protocol of the test's own with the site."""
        self._network.connect(client, self._site.buildProtocol(IPv4Address("TCP", "192.0.2.3", 4321)))

    def flush(self) -> None:
        """Let everything that is on its way arrive."""
        self._network.flush()
