"""What clients send: small bodies are kept in memory, large ones are handed on piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import orjson
from twisted.web.server import Request

from pypicache.core.errors import BadInput, TooLarge

SMALL = 2**20  # bytes of a body that is kept in memory


class Intake(Protocol):
    """Takes the body of one request as it arrives, instead of the request itself."""

    def take(self, piece: bytes) -> None:
        """One piece of the body. The request is rendered when all have come; should the client leave before,
        ``request.notifyFinish()`` tells."""


Stream = Callable[["BodyRequest", bytes, bytes, "int | None"], "Intake | None"]
"""Asked when the headers of a request are here, before any of its body: the request, its method, its URI and the length
that the body is said to have. Gives who takes the body; ``None`` to have it kept in memory if it is small."""


class BodyRequest(Request):
    """A request as the site makes it.

    ::

        headers --> site.stream(request, method, uri, length) --> Intake --> intake.take(piece) ...
                                                              --> None   --> kept; more than SMALL bytes are dropped
        end of the body --> rendered, with ``request.intake`` or with :func:`body_of`
    """

    intake: Intake | None = None
    dropped = False  # the body was larger than SMALL

    def gotLength(self, length: int | None) -> None:  # noqa: N802 -- a method of twisted.web
        """The headers are here."""
        super().gotLength(min(length or 0, SMALL))
        stream: Stream | None = getattr(getattr(self.channel, "site", None), "stream", None)
        if stream is not None:
            method = getattr(self.channel, "_command", b"")  # the request itself is told at the end of the body
            self.intake = stream(self, method, getattr(self.channel, "_path", b""), length)

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body is here."""
        if self.intake is not None:
            self.intake.take(data)
        elif self.dropped or self.content is None or self.content.tell() + len(data) > SMALL:
            self.dropped = True
        else:
            super().handleContentChunk(data)


def body_of(request: Request) -> bytes:
    """The whole body of a request.

    :raises TooLarge: it was larger than what is kept in memory.
    """
    if getattr(request, "dropped", False):
        raise TooLarge(f"the body of this request may have {SMALL} bytes")
    if request.content is None:
        return b""
    request.content.seek(0)
    body: bytes = request.content.read()
    return body


def json_of(request: Request) -> Any:
    """The body of a request, read as JSON.

    :raises BadInput: it is none.
    :raises TooLarge: it was larger than what is kept in memory.
    """
    try:
        return orjson.loads(body_of(request))
    except orjson.JSONDecodeError as error:
        raise BadInput("Bad request: could not decode json") from error
