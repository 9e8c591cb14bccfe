"""A daemon whose upstream sends its files piece by piece, just as the test says."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from pypicache.web.door import LoggedSite
from pypicache.web.served import as_events
from tests.ring_one.house import HouseCase, Pending, UpstreamSite, file_of, page_of
from tests.ring_one.network import Network, NetworkAgent

WHEEL = "demo-1.0-py3-none-any.whl"
AT = f"/packages/{WHEEL}"


def bytes_of(size: int) -> bytes:
    """Content of which no two pieces are alike."""
    block = b"".join(sha256(number.to_bytes(4, "big")).digest() for number in range(size // 32 + 1))
    return block[:size]


class Incoming:
    """One request for a file that reached the upstream and is answered by the test."""

    def __init__(self, request: Any, content: bytes) -> None:
        self.request = request
        self.content = content
        self.at = 0  # bytes of the content that were sent, or skipped because of a range
        self.paused = False  # the network takes no more
        self.gone = False  # whoever asked has left
        self.sent = 0
        self.settle: Callable[[], None] = lambda: None  # lets what was sent arrive
        request.notifyFinish().addErrback(self._lost)
        request.registerProducer(self, True)

    def _lost(self, _: object) -> None:
        self.gone = True

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.gone = True

    def header(self, name: str) -> str | None:
        """A header of the request."""
        value: str | None = self.request.getHeader(name)
        return value

    @property
    def range(self) -> tuple[int, int | None] | None:
        """What is asked for: first byte, and one past the last if that is given."""
        wanted = self.header("range")
        if wanted is None:
            return None
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        return int(first), int(last) + 1 if last else None

    def head(self, code: int = 200, *, length: int | None = None, chunked: bool = False, **headers: Any) -> None:
        """Begin to answer with the whole file, or as told."""
        if not chunked:
            self.request.setHeader("content-length", str(len(self.content) if length is None else length))
        for name, value in headers.items():
            self.request.setHeader(name.replace("_", "-"), value)
        self.request.setResponseCode(code)
        self.request.write(b"")
        self.settle()

    def part(self, **headers: Any) -> None:
        """Begin to answer with the range that is asked for."""
        assert self.range is not None
        first, end = self.range
        end = min(len(self.content), len(self.content) if end is None else end)
        self.at = first
        shown = f"bytes {first}-{end - 1}/{len(self.content)}"
        self.head(206, length=end - first, chunked=False, **{"content_range": shown, **headers})

    def send(self, size: int) -> None:
        """Send the next bytes of the content."""
        self.say(self.content[self.at : self.at + size])
        self.at += size

    def say(self, data: bytes) -> None:
        """Send any bytes."""
        self.sent += len(data)
        self.request.write(data)
        self.settle()

    def rest(self) -> None:
        """Send what is left, and end properly."""
        self.send(len(self.content) - self.at)
        self.end()

    def end(self) -> None:
        """End the answer, unless whoever asked has closed the connection after the last byte."""
        if self.request.channel is not None:
            self.request.unregisterProducer()
            self.request.finish()
        self.settle()

    def cut(self) -> None:
        """Break the connection off."""
        self.request.unregisterProducer()
        self.request.loseConnection()
        self.settle()


class _Files(Resource):
    isLeaf = True

    def __init__(self, site: FileSite, others: Any) -> None:
        super().__init__()
        self._site = site
        self._others = others

    def render(self, request: Request) -> Any:
        path = request.path.decode()
        if path not in self._site.by_hand:
            return self._others.render(request)
        self._site.incoming.append(Incoming(request, self._site.by_hand[path]))
        return NOT_DONE_YET


@define
class FileSite(UpstreamSite):
    """An upstream some of whose files are sent by the test."""

    by_hand: dict[str, bytes] = field(factory=dict)  # path -> content
    incoming: list[Incoming] = field(factory=list)

    def resource(self) -> Any:
        """The site as a resource."""
        return _Files(self, super().resource())


class Client(Pending):
    """A client that can read slowly, and leave."""

    @property
    def code(self) -> int | None:
        """The status code, once it is here."""
        return None if self.response is None else self.response.code

    @property
    def length(self) -> int | None:
        """Length of the body by the head of the answer; ``None`` if that does not say."""
        return None if self.response.length is UNKNOWN_LENGTH else int(self.response.length)

    def header(self, name: str) -> str | None:
        """One header's value of the answer."""
        values = self.response.headers.getRawHeaders(name)
        return values[0] if values else None

    def pause(self) -> None:
        """Read no more for now."""
        self.collector.transport.pauseProducing()  # type: ignore[union-attr]  # the transport proxy of the client

    def go_on(self) -> None:
        """Read again."""
        self.collector.transport.resumeProducing()  # type: ignore[union-attr]  # the transport proxy of the client
        self._case.settle()

    def leave(self) -> None:
        """Close the connection."""
        if self.response is None:
            self.asked.cancel()
        else:
            self.collector.transport.loseConnection()  # type: ignore[union-attr]  # the transport proxy of the client
        self._case.settle()

    @property
    def ended_well(self) -> bool:
        """Whether the client holds what looks like a whole answer."""
        return self.over and self.failure is None and self.answer().whole


class FileCase(HouseCase):
    """A daemon in memory, in front of an upstream that sends files piece by piece."""

    up: FileSite

    def setUp(self) -> None:
        self.said: list[str] = []
        self.listed: dict[str, Any] = {}

        @implementer(ILogObserver)
        def listen(event: Any) -> None:
            self.said.append(f"{event['log_level'].name} {formatEvent(event)}")

        globalLogPublisher.addObserver(listen)
        self.addCleanup(globalLogPublisher.removeObserver, listen)
        super().setUp()

    def upstream_site(self) -> UpstreamSite:
        return FileSite()

    def reach(self, resource: Any) -> Any:
        if isinstance(resource, _Files):
            self.network = Network(self.clock)
            return NetworkAgent(self.network, Site(resource, reactor=self.clock, timeout=None))
        self.outside = Network(self.clock)
        self.site = LoggedSite(resource, self.clock, self.house.lane)
        self.site.served.listeners.append(as_events)
        return NetworkAgent(self.outside, self.site)

    def begin(self, path: str, method: str = "GET", **headers: str) -> Client:
        from twisted.web.http_headers import Headers

        url = f"http://cache.example{path}"
        named = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        client = Client(self, self.agent.request(method.encode(), url.encode(), named, None), url)
        self.settle()
        return client

    def logged(self, *words: str) -> bool:
        """Whether a line of the log has all these words."""
        self.site.served.tell()
        return any(all(word in line for word in words) for line in self.said)

    def demo(self, content: bytes, name: str = WHEEL, by_hand: bool = True, **keys: Any) -> str:
        """List a file at the upstream; its URL at the daemon."""
        (self.up.by_hand if by_hand else self.up.files)[f"/packages/{name}"] = content
        self.listed[name] = file_of(name, content, **keys)
        self.up.pages["/simple/demo/"] = page_of("demo", *self.listed.values())
        self.advance(1)  # the upstream is asked once per second
        found: list[dict[str, Any]] = self.page("demo", cache_control="no-cache").json()["files"]
        return next(str(file["url"]) for file in found if file["filename"] == name)

    @property
    def incoming(self) -> Incoming:
        """The only request for a file that the upstream has got; it is taken off the list."""
        self.settle()
        assert len(self.up.incoming) == 1, self.up.incoming
        coming = self.up.incoming.pop()
        coming.settle = self.settle
        return coming

    def shelf(self) -> list[Path]:
        """All files below ``+files``."""
        return sorted(path for path in (self.directory / "+files").rglob("*") if path.is_file())

    def spooled(self) -> list[str]:
        """What lies in ``spool``."""
        return sorted(path.name for path in (self.directory / "spool").iterdir())

    def assert_nothing_kept(self) -> None:
        """Nothing of a refused file is left anywhere."""
        self.assertEqual(self.shelf(), [])
        self.assertEqual(self.spooled(), [])
        self.assertEqual(self.successResultOf(self.house.memory.keys()), set())

    def descriptors(self) -> int:
        """How many files this process has open."""
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
