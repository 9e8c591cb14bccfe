"""What tests read out of answers: the anchors and metas of an HTML page, and HTTP as it stands on the wire."""

from __future__ import annotations

from html.parser import HTMLParser

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from pypicache.web.door import LoggedSite
from tests.ring_one.house import HouseCase


@frozen
class Anchor:
    """One ``<a>`` of a page."""

    text: str
    attributes: dict[str, str | None]

    @property
    def href(self) -> str:
        """Where it points."""
        return self.attributes["href"] or ""


@define
class _Reader(HTMLParser):
    anchors: list[Anchor] = field(factory=list)
    metas: dict[str, str] = field(factory=dict)
    tags: set[str] = field(factory=set)
    _open: dict[str, str | None] | None = None
    _text: str = ""

    def __attrs_post_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a":
            assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
            self._open, self._text = dict(attrs), ""
        elif tag == "meta" and dict(attrs).get("name"):
            self.metas[dict(attrs)["name"] or ""] = dict(attrs).get("content") or ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            self.anchors.append(Anchor(self._text, self._open))
            self._open = None


def _read(body: bytes) -> _Reader:
    reader = _Reader()
    reader.feed(body.decode())
    reader.close()
    return reader


def anchors(body: bytes) -> list[Anchor]:
    """The links of an HTML page, in their order."""
    return _read(body).anchors


def metas(body: bytes) -> dict[str, str]:
    """The named metas of an HTML page."""
    return _read(body).metas


def tags(body: bytes) -> set[str]:
    """The kinds of elements that an HTML page has."""
    return _read(body).tags


@frozen
class Raw:
    """An answer as it stood on the wire."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes  # everything after the head
    hung_up: bool

    @classmethod
    def ask(cls, case: HouseCase, target: str, method: str = "GET", **headers: str) -> Raw:
        """Send one request over a connection of its own; header names are written with underscores."""
        protocol = LoggedSite(case.house.door, case.clock, case.house.lane).buildProtocol(
            IPv4Address("TCP", "192.0.2.7", 5000)
        )
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        named = {"host": "cache.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        protocol.dataReceived("\r\n".join(lines).encode())
        case.settle()
        head, _, body = transport.value().partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        parted = [line.split(": ", 1) for line in fields]
        found = {name.lower(): value for name, value in parted}
        assert len(found) == len(parted), f"a header stands twice: {fields}"
        hung_up = transport.disconnecting or transport.disconnected
        return cls(int(status.split()[1]), found, body, hung_up)
