"""Sends the bytes of a file: ranges, conditions, HEAD, at the pace of the client, in flat memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from pypicache.core.errors import Broken, PypicacheError
from pypicache.interfaces import IBody, IReader
from pypicache.web.answers import answer, header
from pypicache.web.answers import cache_control as permitted
from pypicache.web.conditions import http_date, not_modified, not_modified_since, parse_range, range_applies
from pypicache.web.said import FOR_EVER, OCTETS
from pypicache.web.sending import plain_socket, send_file

PIECE = 128 * 2**10  # bytes read and written at a time; what the transport hands to the kernel at once

log = Logger()


@implementer(IPushProducer)
class Flow:
    """Tells a coroutine when the client takes more."""

    def __init__(self) -> None:
        self._waiting: Deferred[None] | None = None
        self._paused = False

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        # The connection is gone. The request's own end cancels the coroutine; it must not wait for the client any more.
        self._paused = False
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def ready(self) -> None:
        """Wait until the client takes more."""
        if self._paused:
            self._waiting = Deferred()
            await self._waiting


def describe(request: Request, body: IBody, cache_control: str) -> None:
    """Set the headers that GET and HEAD, whole files and ranges have in common."""
    request.setHeader(b"content-type", OCTETS)
    request.setHeader(b"cache-control", permitted(request, cache_control))
    request.setHeader(b"accept-ranges", b"bytes")
    if body.etag is not None:
        request.setHeader(b"etag", f'"{body.etag}"')
    if body.modified is not None:
        request.setHeader(b"last-modified", http_date(body.modified))


def _unchanged(request: Request, body: IBody) -> bool:
    tags = header(request, "if-none-match")
    if tags is not None:
        return body.etag is not None and not_modified(tags, body.etag)
    return not_modified_since(header(request, "if-modified-since"), body.modified)


async def pour(request: Request, body: IBody, cache_control: str = FOR_EVER) -> None:
    """Answer a GET or HEAD with a body, or with the part of it that the client asks for.

    The head of the answer is written when the first bytes are here, so that an error before them is still an answer. An
    error after them cuts the connection, so that nobody takes what came for the whole.
    """
    try:
        if _unchanged(request, body):
            describe(request, body, cache_control)
            request.responseHeaders.removeHeader(b"content-type")
            answer(request, b"", None, code=304)
            return
        wanted = header(request, "range")
        span = None
        if request.method == b"HEAD" or wanted is not None:
            await body.measure()
        if request.method == b"HEAD":
            describe(request, body, cache_control)
            if body.size is not None:
                request.setHeader(b"content-length", b"%d" % body.size)
            request.finish()
            return
        condition = header(request, "if-range")
        if wanted is not None and body.size is not None and range_applies(condition, body.etag, body.modified):
            span = parse_range(wanted, body.size)
        reader = body.reader(*(span or (0, None)))
        try:
            await _send(request, body, reader, span, cache_control)
        finally:
            reader.close()
    finally:
        body.close()


async def _send(
    request: Request, body: IBody, reader: IReader, span: tuple[int, int] | None, cache_control: str
) -> None:
    piece = await reader.read(PIECE)
    describe(request, body, cache_control)
    if span is not None:
        request.setResponseCode(206)
        request.setHeader(b"content-range", b"bytes %d-%d/%d" % (span[0], span[1] - 1, body.size or span[1]))
        request.setHeader(b"content-length", b"%d" % (span[1] - span[0]))
    elif body.size is not None:
        request.setHeader(b"content-length", b"%d" % body.size)
    await flow_out(request, reader, piece)


async def flow_out(request: Request, reader: IReader, piece: bytes | None = None) -> None:
    """Write what a reader gives, at the pace of the client, and finish the request.

    :param piece: what was read already.
    :raises Cut: it cannot be read to its end; part of it is written.
    """
    socket = plain_socket(request)
    try:
        if piece:
            request.write(piece)
        if piece is not None and request.responseHeaders.getRawHeaders(b"content-length") == [b"%d" % len(piece)]:
            pass  # that was all of it
        elif socket is not None and request.responseHeaders.hasHeader("content-length"):
            await send_file(request, socket, reader)
        else:
            await _write(request, reader)
    except PypicacheError as error:
        log.warn("{path}: cut off: {why}", path=request.path.decode("ascii", "replace"), why=str(error))
        raise Cut(str(error)) from error
    request.finish()


async def _write(request: Request, reader: IReader) -> None:
    flow = Flow()
    request.registerProducer(flow, True)
    try:
        while piece := await reader.read(PIECE):
            request.write(piece)
            await flow.ready()
    finally:
        if request.channel is not None:  # otherwise the client left, and twisted.web has taken everything down already
            request.unregisterProducer()


class Cut(Broken):
    """The answer cannot be brought to its end: the connection is to be closed."""
