"""The whole path in memory: real HTTP, real Klein and treq, no sockets, no threads, time advanced by hand."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from klein import Klein
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from pypicache.assembly import House, build
from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from pypicache.upstream.agents import UpstreamAgent
from pypicache.web.door import LoggedSite

UP = "http://up.example/simple/"
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
UV = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
JSON = "application/vnd.pypi.simple.v1+json"


@frozen
class Asked:
    """One request that reached the upstream."""

    method: str
    path: str
    headers: Mapping[str, str]


@define
class UpstreamSite:
    """An index that says what it is told to say."""

    pages: dict[str, object] = field(factory=dict)  # path -> JSON value, text or bytes
    files: dict[str, bytes] = field(factory=dict)  # path -> content
    headers: dict[str, str] = field(factory=dict)  # of every page
    special: dict[str, Callable[[Request], Any]] = field(factory=dict)  # path -> answers in its own way
    content_type: str = JSON
    status: int = 200  # other than 200: the answer to everything
    log: list[Asked] = field(factory=list)
    gate: Deferred[None] | None = None  # while it has not fired, nothing is answered
    ranges: bool = True
    file_headers: dict[str, str] = field(factory=lambda: {"ETag": '"upstream-1"'})

    def resource(self) -> Any:
        """The site as a resource."""
        app = Klein()
        app.url_map.strict_slashes = False
        app.url_map.merge_slashes = False

        @app.route("/", branch=True)
        async def everything(request: Request) -> bytes:
            return await self._answer(request)

        return app.resource()

    async def _answer(self, request: Request) -> bytes:
        path = request.path.decode()
        sent = request.requestHeaders.getAllRawHeaders()
        named = {name.decode().lower(): values[0].decode() for name, values in sent}
        self.log.append(Asked(request.method.decode(), path, named))
        if self.gate is not None and not self.gate.called:
            waiting: Deferred[None] = Deferred()
            self.gate.addCallback(waiting.callback)
            await waiting
        if path in self.special:
            answered: bytes = await maybeDeferred(self.special[path], request)
            return answered
        if self.status != 200:
            request.setResponseCode(self.status)
            for name, value in self.headers.items():
                request.setHeader(name, value)
            return b"trouble"
        if path in self.pages:
            return self._page(request, self.pages[path])
        if path in self.files:
            return self._file(request, self.files[path])
        request.setResponseCode(404)
        return b"no such thing"

    def _page(self, request: Request, page: object) -> bytes:
        for name, value in self.headers.items():
            request.setHeader(name, value)
        etag = self.headers.get("ETag")
        if etag is not None and request.getHeader("if-none-match") == etag:
            request.setResponseCode(304)
            return b""
        request.setHeader("content-type", self.content_type)
        if isinstance(page, bytes):
            return page
        return page.encode() if isinstance(page, str) else json.dumps(page).encode()

    def _file(self, request: Request, content: bytes) -> bytes:
        for name, value in self.file_headers.items():
            request.setHeader(name, value)
        request.setHeader("content-type", "application/octet-stream")
        wanted = request.getHeader("range")
        if wanted and self.ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(content)
            request.setResponseCode(206)
            request.setHeader("content-range", f"bytes {first}-{min(end, len(content)) - 1}/{len(content)}")
            content = content[int(first) : end]
        request.setHeader("content-length", str(len(content)))
        return content

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked.path == path for asked in self.log)


def file_of(name: str, content: bytes, **keys: object) -> dict[str, object]:
    """A file object as PyPI writes it; keys that are given replace or join the usual ones, ``None`` removes one."""
    usual: dict[str, object] = {
        "filename": name,
        "url": f"http://files.example/packages/{name}",
        "hashes": {"sha256": sha256(content).hexdigest()},
        "size": len(content),
        "upload-time": "2024-01-02T03:04:05.678901Z",
        "yanked": False,
    }
    return {key: value for key, value in {**usual, **keys}.items() if value is not None}


def page_of(name: str, *files: Mapping[str, object], **keys: object) -> dict[str, object]:
    """A project page as PyPI writes it."""
    return {"meta": {"api-version": "1.4"}, "name": name, "files": list(files), **keys}


@define
class Answer:
    """What a client got."""

    code: int
    headers: Headers
    body: bytes
    whole: bool  # the body came to its proper end
    url: str

    def header(self, name: str) -> str | None:
        """One header's value."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class _Collector(Protocol):
    def __init__(self) -> None:
        self.body = b""
        self.done: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.body += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.done = reason


class Pending:
    """A request under way."""

    def __init__(self, case: HouseCase, asked: Deferred[Any], url: str) -> None:
        self._case = case
        self._url = url
        self.asked = asked
        self.response: Any = None
        self.failure: Failure | None = None
        self.collector = _Collector()
        asked.addCallbacks(self._came, self._failed)

    def _came(self, response: Any) -> None:
        self.response = response
        response.deliverBody(self.collector)

    def _failed(self, failure: Failure) -> None:
        self.failure = failure

    @property
    def received(self) -> bytes:
        """The bytes that are here."""
        self._case.settle()
        return self.collector.body

    @property
    def over(self) -> bool:
        """Whether the answer has come to an end, proper or not."""
        self._case.settle()
        return self.failure is not None or self.collector.done is not None

    def answer(self) -> Answer:
        """The whole answer, which must be here by now."""
        assert self.over, "the answer is not here yet"
        if self.failure is not None:
            self.failure.raiseException()
        assert self.collector.done is not None
        return Answer(
            code=self.response.code,
            headers=self.response.headers,
            body=self.collector.body,
            whole=self.collector.done.check(ResponseDone) is not None
            and self.collector.done.check(ResponseFailed) is None,
            url=self._url,
        )


class HouseCase(SynchronousTestCase):
    """A daemon in memory, in front of an upstream in memory."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.up = self.upstream_site()
        self.start()

    def upstream_site(self) -> UpstreamSite:
        """The upstream; tests may replace it."""
        return UpstreamSite()

    def reach(self, resource: Any) -> Any:
        """An agent that reaches a site in memory; tests may replace it."""
        return RequestTraversalAgent(resource)

    def recording(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        """Do what the ledger's writer thread does; tests may replace it."""
        return maybeDeferred(function, *arguments)

    def in_thread(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        """Do what other threads do; tests may replace it."""
        return maybeDeferred(function, *arguments)

    def when_calm(self) -> Deferred[None]:
        """When there is little to do; tests may replace it."""
        return succeed(None)

    def settings(self) -> Settings:
        """What the daemon is configured to be; tests may replace it."""
        return Settings(state=self.directory, indexes=(MirrorSpec.from_options("root/pypi", {"mirror_url": UP}),))

    def start(self, **changes: Any) -> House:
        """Start the daemon, as after a restart."""
        from attrs import evolve

        self.upstream_agent = self.reach(self.up.resource())
        settings = evolve(self.settings(), **changes)

        agent = UpstreamAgent(self.upstream_agent, HTTPConnectionPool(self.clock))
        self.house = build(
            settings,
            agent,
            self.clock,
            remember=maybeDeferred,
            record=self.recording,
            in_thread=self.in_thread,
            uuid="0" * 32,
            when_calm=self.when_calm,
        )
        self.house.shelf.prepare()
        self.house.open_ledger(settings)
        self.agent = self.reach(self.house.door)
        if isinstance(self.agent, RequestTraversalAgent):
            self.agent._serverFactory = LoggedSite(self.house.door, self.agent._memoryReactor, self.house.lane)
        return self.house

    def stop(self) -> None:
        """End the daemon properly."""
        self.successResultOf(self.house.tasks.stop())
        self.successResultOf(Deferred.fromCoroutine(self.house.upkeep.stop()))
        self.successResultOf(self.house.memory.close())

    def tearDown(self) -> None:
        self.successResultOf(self.house.memory.close())

    def settle(self) -> None:
        """Let everything that is on its way arrive."""
        for _ in range(12):
            self.agent.flush()
            self.upstream_agent.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.settle()

    def begin(self, path: str, method: str = "GET", **headers: str) -> Pending:
        """Send a request to the daemon."""
        url = f"http://cache.example{path}"
        named = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        pending = Pending(self, self.agent.request(method.encode(), url.encode(), named, None), url)
        self.settle()
        return pending

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request, and wait for the whole answer; header names are written with underscores."""
        return self.begin(path, method, **headers).answer()

    def send(self, method: str, path: str, content: object = None, **headers: str) -> Answer:
        """Send a request with a body: bytes as they are, anything else as JSON; JSON is wanted back."""
        return self.sending(method, path, content, **headers).answer()

    def sending(self, method: str, path: str, content: object = None, **headers: str) -> Pending:
        """The same, without waiting for the answer."""
        url = f"http://cache.example{path}"
        body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        named = {"accept": "application/json", "content-type": "application/json"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = _SynchronousProducer(body) if body else None
        asked = self.agent.request(
            method.encode(), url.encode(), Headers({name: [value] for name, value in named.items()}), sent
        )
        pending = Pending(self, asked, url)
        self.settle()
        return pending

    def page(self, project: str, **headers: str) -> Answer:
        """A project's page, as pip asks for it."""
        return self.get(f"/root/pypi/+simple/{project}/", **{"accept": PIP, **headers})

    def files(self, project: str) -> list[dict[str, Any]]:
        """The files of a project's page."""
        answer = self.page(project)
        assert answer.code == 200, answer
        found: list[dict[str, Any]] = answer.json()["files"]
        return found


def at_once() -> Deferred[None]:
    """A gate that is open."""
    return succeed(None)
