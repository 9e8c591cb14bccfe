"""The outermost resource: what every answer has, and the log line of every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request as HTTPRequest
from twisted.web.http import _GenericHTTPChannelProtocol, datetimeToString
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from pypicache.core.errors import NotFound, PypicacheError
from pypicache.core.outside import path_of
from pypicache.web.answers import problem
from pypicache.web.bodies import BodyRequest, Intake, Stream
from pypicache.web.channel import LaneChannel
from pypicache.web.failures import answered
from pypicache.web.lane import Lane
from pypicache.web.places import outside_url
from pypicache.web.served import ServedRequests


class Door(Resource):
    """Sets the headers that every answer has, and takes the path of the outside URL off the request.

    :param headers: of every answer, also of errors (contract devpi 1.2).
    :param serial: of the last change to the truth. Reads are answered with the one of their beginning.
    """

    isLeaf = True

    def __init__(
        self,
        inside: IResource,
        headers: Mapping[str, str],
        configured_url: str | None,
        serial: Callable[[], int] = lambda: 0,
        stream: Stream | None = None,
    ) -> None:
        super().__init__()
        self._inside = inside
        self._headers = dict(headers)
        self._configured_url = configured_url
        self._serial = serial
        self._stream = stream

    def stream(self, request: BodyRequest, method: bytes, uri: bytes, length: int | None) -> Intake | None:
        """Who takes the body of a request (:data:`pypicache.web.bodies.Stream`)."""
        if self._stream is None or method != b"POST":
            return None
        prefix = path_of(outside_url(request, self._configured_url)).encode()
        path = uri.partition(b"?")[0]
        inside = path[len(prefix) :] if prefix and path.startswith(prefix + b"/") else path
        return self._stream(request, method, inside, length)

    def turn_away(self, request: BodyRequest, error: PypicacheError) -> None:
        """Tell a client that still sends its body why nothing of it is taken in."""
        self._dress(request)
        request.setHeader(b"date", datetimeToString())
        request.write(problem(request, error))

    def _dress(self, request: Request) -> None:
        for name, value in self._headers.items():
            request.setHeader(name, value)
        self._say_serial(request)
        if isinstance(request, BodyRequest) and request.method not in {b"GET", b"HEAD"}:
            # A write says its own serial, or a later one.
            request.before_head = partial(self._say_serial, request)

    def _say_serial(self, request: Request) -> None:
        request.setHeader("x-devpi-serial", str(self._serial()))

    def render(self, request: Request) -> bytes | int:
        self._dress(request)
        prefix = [part.encode() for part in path_of(outside_url(request, self._configured_url)).split("/") if part]
        path = request.postpath or []
        if prefix and path[: len(prefix)] == prefix:
            request.postpath = path[len(prefix) :]
        if not _is_text(b"/".join(path)) or not _is_text(request.getHeader(b"host") or b""):
            # Klein would log a traceback for each.
            request.write(problem(request, NotFound("there is nothing at this address")))
            request.finish()
            return NOT_DONE_YET
        refused = getattr(request, "refused", None)
        if refused is not None:
            request.write(problem(request, refused))
            request.finish()
            return NOT_DONE_YET
        intake: Intake | None = getattr(request, "intake", None)
        answer = None if intake is None else intake.answer()
        if answer is not None:  # no address has to be looked for, because that was done before the body came
            answered(request, answer)
            return NOT_DONE_YET
        rendered: bytes | int = self._inside.render(request)
        return rendered


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class LoggedSite(Site):
    """Makes the connections of clients, and notes every request.

    :ivar served: tells of the requests that were answered.
    """

    def __init__(self, resource: IResource, clock: IReactorTime, lane: Lane | None = None) -> None:
        # Forms are read where they are wanted, as streams; a client has a minute to send its next request.
        super().__init__(resource, BodyRequest, timeout=75, reactor=clock, parsePOSTFormSubmission=False)
        self.lane = lane
        self.served = ServedRequests(clock)

    @property
    def stream(self) -> Stream | None:
        """Who takes large bodies."""
        stream: Stream | None = getattr(self.resource, "stream", None)
        return stream

    def protocol(self) -> _GenericHTTPChannelProtocol:
        """A new connection, HTTP/1.1 unless TLS settles on HTTP/2."""
        return _GenericHTTPChannelProtocol(LaneChannel())

    def log(self, request: HTTPRequest) -> None:
        agent = (request.getHeader(b"user-agent") or b"-").decode("latin-1")
        client = getattr(request.getClientAddress(), "host", "-")
        self.served.note(client, request.method, request.uri, request.code, request.sentLength, agent)
