"""An agent for addresses that users name: it connects to nothing in a private network, whatever a name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from pypicache.upstream.agents import make_agent

NAMES = {
    "open.example": ["93.184.216.34"],
    "inner.example": ["10.1.2.3"],
    "both.example": ["127.0.0.1", "93.184.216.34"],
    "proxy.example": ["10.9.9.9"],
}


@implementer(IHostResolution)
class Resolution:
    """One question."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It is answered at once."""


@implementer(IHostnameResolver)
class Names:
    """Knows some names."""

    def resolveHostName(  # noqa: N802 -- IHostnameResolver's name
        self,
        receiver: IResolutionReceiver,
        name: str,
        portNumber: int = 0,
        *_: Any,
    ) -> IHostResolution:
        """The addresses of a name; an address stands for itself."""
        receiver.resolutionBegan(Resolution(name))
        for host in NAMES.get(name, [name]):
            receiver.addressResolved(IPv4Address("TCP", host, portNumber))
        receiver.resolutionComplete()
        return Resolution(name)


class PublicOnlyTests(SynchronousTestCase):
    """``make_agent(public_only=True)``."""

    def connections(self, url: str, public_only: bool = True, environ: Mapping[str, str] | None = None) -> list[str]:
        """Where a request makes the agent connect to."""
        reactor = MemoryReactorClock()
        reactor.nameResolver = Names()
        agent = make_agent(
            reactor, ca_bundle=None, environ=environ or {}, connections=1, connect_timeout=1, public_only=public_only
        )
        asked = agent.request(b"POST", url.encode())
        if not reactor.tcpClients:
            self.failureResultOf(asked, DNSLookupError)
        return [connection[0] for connection in reactor.tcpClients]

    def test_the_open_network(self) -> None:
        """Is there for everybody."""
        for scheme in ("http", "https"):
            assert self.connections(f"{scheme}://open.example/") == ["93.184.216.34"]

    def test_a_name_for_a_private_address(self) -> None:
        """Stands for nothing."""
        for scheme in ("http", "https"):
            for host in ("inner.example", "10.1.2.3", "127.0.0.1"):
                assert self.connections(f"{scheme}://{host}/") == []

    def test_a_name_for_both(self) -> None:
        """Stands for the public one."""
        assert self.connections("http://both.example/") == ["93.184.216.34"]

    def test_private_networks_where_they_are_allowed(self) -> None:
        """The same agent, without the restriction."""
        assert self.connections("http://inner.example/", public_only=False) == ["10.1.2.3"]

    def test_a_proxy(self) -> None:
        """Is the operator's choice, and may be anywhere."""
        environ = {"HTTP_PROXY": "http://proxy.example:3128", "HTTPS_PROXY": "http://proxy.example:3128"}
        for scheme in ("http", "https"):
            assert self.connections(f"{scheme}://open.example/", environ=environ) == ["10.9.9.9"]
