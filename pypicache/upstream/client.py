"""The client of other indexes: conditional pages and file bodies, one breaker per host, never a surprise."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from pypicache.core.errors import BadInput, Broken, NotFound, Offline, UpstreamDown
from pypicache.core.spec import UpstreamURL, masked, origin
from pypicache.tasks import TimedOut, within
from pypicache.upstream.body import Answer, Drain
from pypicache.upstream.breaker import Breaker, retry_after

PAGE_TYPES = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01, */*;q=0.001"
)
FIRST_BYTE = 60.0  # seconds until the head of an answer must be here; clients are answered much earlier
WHOLE_PAGE = 180.0  # seconds for all of a page


@frozen(kw_only=True)
class Page:
    """A page as an upstream sent it, decoded from its content coding."""

    url: str  # where it was found after redirects, without credentials; relative links start here
    content_type: str
    body: bytes
    etag: str | None  # as it came, with quotes and weakness
    modified: str | None  # Last-Modified as it came
    serial: int | None  # X-PyPI-Last-Serial


@frozen(kw_only=True)
class Unchanged:
    """The upstream's 304: what is remembered is still right."""

    serial: int | None


class Refused(NotFound):
    """The upstream answered 403, which some say for "no such project"."""


class Upstream:
    """Asks other indexes.

    :param agent: sends one request; knows proxies, trust and redirects.
    :param connections: requests under way at once, for pages and for files each, per host.
    :param offline: nothing may be asked at all.
    :param received: told the number of bytes of every piece of a body that arrives.
    """

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        *,
        user_agent: str,
        connections: int = 64,
        max_page_size: int = 100 * 2**20,
        offline: bool = False,
        received: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._user_agent = user_agent
        self._connections = connections
        self._max_page_size = max_page_size
        self._received = received
        self._always: dict[tuple[str, str], Headers] = {}
        self._places: dict[tuple[str, str], DeferredSemaphore] = {}
        self.offline = offline
        self.breakers: dict[str, Breaker] = {}

    # -- asking ----------------------------------------------------------------------------------------------------

    async def page(
        self,
        url: str,
        login: UpstreamURL | None = None,
        *,
        etag: str | None = None,
        modified: str | None = None,
        fresh: bool = False,
    ) -> Page | Unchanged:
        """A project's page, if it changed since it had ``etag`` or was ``modified``.

        :param fresh: ask caches between us and the upstream to revalidate.
        :raises NotFound: the upstream says that there is no such page (404, 410; :exc:`Refused` for 403).
        :raises UpstreamDown: no usable answer.
        """
        headers = self._headers(url, login, PAGE_TYPES, "gzip")
        if etag is not None:
            headers.setRawHeaders("If-None-Match", [etag])
        elif modified is not None:
            headers.setRawHeaders("If-Modified-Since", [modified])
        if fresh:
            headers.setRawHeaders("Cache-Control", ["no-cache"])
        place = await self._place("page", url)
        try:
            breaker = self._enter(url)
            asked = self._agent.request(b"GET", url.encode("ascii"), headers, None)
            answer = Answer(await self._head(breaker, url, asked), self._clock)
            self._judge(breaker, url, answer, {200, 304})
            serial = _number(answer.header("x-pypi-last-serial"))
            if answer.status == 304:
                answer.abort()
                return Unchanged(serial=serial)
            return Page(
                url=self._final_url(answer, url),
                content_type=answer.header("content-type") or "",
                body=await self._whole(breaker, url, answer),
                etag=answer.header("etag"),
                modified=answer.header("last-modified"),
                serial=serial,
            )
        finally:
            place.release()

    async def _whole(self, breaker: Breaker, url: str, answer: Answer) -> bytes:
        def take(data: bytes) -> None:
            self._received(len(data))
            drain.take(data)

        try:
            drain = Drain(self._max_page_size, answer.header("content-encoding"))
            await within(self._clock, WHOLE_PAGE, answer.pump(take))
            return drain.whole()
        except (Broken, TimedOut, BadInput) as error:
            answer.abort()
            why = f"the page did not end within {WHOLE_PAGE:.0f} s" if isinstance(error, TimedOut) else str(error)
            breaker.failed(self._clock.seconds(), why)
            raise UpstreamDown(f"{masked(url)}: {why}") from error

    async def stream(
        self,
        url: str,
        login: UpstreamURL | None = None,
        *,
        first: int = 0,
        end: int | None = None,
        validator: str | None = None,
        etag: str | None = None,
        accept: str = "*/*",
        coding: str = "identity",
    ) -> Answer:
        """Begin to receive a file, or the span of it from ``first`` up to but without ``end``.

        :param validator: the strong ETag or Last-Modified that the rest must belong to (``If-Range``).
        :param etag: what the caller has; with it the answer may have status 304.
        :return: an answer with status 200 (the whole file, whatever was asked for) or 206, which the caller pumps or
            aborts.
        :raises NotFound: there is no such file.
        :raises UpstreamDown: no usable answer.
        """
        headers = self._headers(url, login, accept, coding)
        if first or end is not None:
            headers.setRawHeaders("Range", [f"bytes={first}-{'' if end is None else end - 1}"])
            if validator is not None:
                headers.setRawHeaders("If-Range", [validator])
        if etag is not None:
            headers.setRawHeaders("If-None-Match", [etag])
        place = await self._place("file", url)
        try:
            breaker = self._enter(url)
            asked = self._agent.request(b"GET", url.encode("ascii"), headers, None)
            answer = Answer(await self._head(breaker, url, asked), self._clock, self._received, place.release)
        except BaseException:
            place.release()
            raise
        self._judge(breaker, url, answer, {200, 206} if etag is None else {200, 304})
        return answer

    # -- the common parts ------------------------------------------------------------------------------------------

    def _headers(self, url: str, login: UpstreamURL | None, accept: str, coding: str) -> Headers:
        headers = self._always.get((accept, coding))
        if headers is None:
            named = {"User-Agent": self._user_agent, "Accept": accept, "Accept-Encoding": coding}
            headers = Headers({name: [value] for name, value in named.items()})
            self._always[accept, coding] = headers
        headers = headers.copy()
        if login is not None and login.credentials is not None and origin(url) == origin(login.base):
            headers.setRawHeaders("Authorization", [_basic(*login.credentials)])
        return headers

    async def _place(self, kind: str, url: str) -> DeferredSemaphore:
        if self.offline:
            raise Offline(f"{masked(url)} is not asked: the server runs offline")
        place = self._places.setdefault((kind, _host(url)), DeferredSemaphore(self._connections))
        await place.acquire()
        return place

    def _enter(self, url: str) -> Breaker:
        breaker = self.breakers.setdefault(_host(url), Breaker(_host(url)))
        breaker.enter(self._clock.seconds())
        return breaker

    async def _head(self, breaker: Breaker, url: str, asked: Deferred[IResponse]) -> IResponse:
        try:
            response: IResponse = await within(self._clock, FIRST_BYTE, asked)
        except (CancelledError, GeneratorExit):
            breaker.left()
            raise
        except TimedOut:
            breaker.failed(self._clock.seconds(), f"no answer within {FIRST_BYTE:.0f} s")
            raise UpstreamDown(f"{masked(url)}: no answer within {FIRST_BYTE:.0f} s") from None
        except Exception as error:  # whatever resolving, connecting, TLS and parsing can raise
            why = _sentence(error)
            breaker.failed(self._clock.seconds(), why)
            raise UpstreamDown(f"{masked(url)}: {why}") from error
        return response

    def _judge(self, breaker: Breaker, url: str, answer: Answer, wanted: set[int]) -> None:
        now = self._clock.seconds()
        status = answer.status
        if status in wanted:
            breaker.succeeded()
            return
        answer.abort()
        if status in {404, 410}:
            breaker.succeeded()
            raise NotFound(f"{masked(url)} does not exist at the upstream")
        if status == 403:
            breaker.succeeded()
            raise Refused(f"{masked(url)} is refused by the upstream")
        pause = retry_after(answer.header("retry-after"), now)
        if status == 429 or (status == 503 and pause is not None):
            breaker.failed(now, f"status {status}", 30.0 if pause is None else pause)
        elif status >= 500:
            breaker.failed(now, f"status {status}")
        else:
            breaker.left()
        raise UpstreamDown(f"{masked(url)}: the upstream answered with status {status}", pause or 5)

    def _final_url(self, answer: Answer, url: str) -> str:
        final = answer.url or url
        parts = urlsplit(final)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _host(url: str) -> str:
    scheme, host, port = origin(url)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == {"http": 80, "https": 443}[scheme] else f":{port}")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def _sentence(error: Exception) -> str:
    if isinstance(error, ResponseFailed) and error.reasons:
        return str(error.reasons[0].value) or type(error.reasons[0].value).__name__
    return str(error) or type(error).__name__
