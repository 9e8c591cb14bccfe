"""How answers are written: headers, bodies, and errors as status codes."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from twisted.web.http import RESPONSES
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException
from zope.interface import Interface

from pypicache.core.errors import (
    BadInput,
    Broken,
    Conflict,
    Denied,
    Elsewhere,
    Gone,
    NeedsLogin,
    NoRoom,
    NotFound,
    PypicacheError,
    TooLarge,
    TooMany,
    UpstreamDown,
)
from pypicache.web.bodies import body_start
from pypicache.web.conditions import Unsatisfiable
from pypicache.web.negotiation import is_form, wants_json
from pypicache.web.said import for_one


class NotAcceptable(PypicacheError):
    """The client takes none of the types that the answer has."""


STATUS: dict[type[Exception], int] = {
    Unsatisfiable: 416,
    Elsewhere: 302,
    Gone: 410,
    NotFound: 404,
    BadInput: 400,
    NeedsLogin: 401,
    Denied: 403,
    Conflict: 409,
    TooLarge: 413,
    NoRoom: 507,
    TooMany: 429,
    UpstreamDown: 503,
    Broken: 502,
    NotAcceptable: 406,
}


def header(request: Request, name: str) -> str | None:
    """A request header's value, several of them joined as RFC 9110 section 5.3 says; ``None`` if it is missing."""
    values = request.requestHeaders.getRawHeaders(name)
    return None if not values else ", ".join(values)


class IPrivate(Interface):
    """Marks a request whose answer is not for everybody."""


def keep_private(request: Request) -> None:
    """Note that the answer depends on who asks: caches that are shared must not keep it."""
    request.setComponent(IPrivate, request)


def is_private(request: Request) -> bool:
    """Whether the answer depends on who asks."""
    return request.getComponent(IPrivate) is not None


def cache_control(request: Request, value: str) -> str:
    """``Cache-Control`` as it may be said to this client.

    :param value: what would be said if anybody may see the answer.
    """
    return for_one(value) if is_private(request) else value


def answer(
    request: Request,
    body: bytes,
    content_type: bytes | None,
    *,
    code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Write a whole answer; to HEAD the same without the body."""
    request.setResponseCode(code)
    for name, value in (headers or {}).items():
        request.setHeader(name, cache_control(request, value) if name == "cache-control" else value)
    if content_type is not None:
        request.setHeader(b"content-type", content_type)
    if code not in {204, 304}:
        request.setHeader(b"content-length", b"%d" % len(body))
    if request.method != b"HEAD" and body:
        request.write(body)
    request.finish()


def json_answer(request: Request, content: Mapping[str, object], code: int = 200) -> None:
    """Write JSON for people and for the devpi client, which compares the content type for equality."""
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    answer(request, body, b"application/json", code=code, headers={"cache-control": "no-cache"})


def envelope(request: Request, kind: str, result: object, *, code: int = 200, message: str = "") -> None:
    """Write a result as the devpi client reads it (contract devpi 1.3)."""
    json_answer(request, {"result": result, "type": kind, **({"message": message} if message else {})}, code)


def message_answer(request: Request, message: str, code: int = 200) -> None:
    """Write a sentence as the devpi client reads it."""
    json_answer(request, {"message": message}, code)


def status_of(error: Exception) -> int:
    """The HTTP status code of an error."""
    if isinstance(error, HTTPException):
        return error.code or 500
    return next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)


def problem(request: Request, error: Exception) -> bytes:
    """Describe an error in the form that the client reads.

    :return: the body. Whoever calls writes it and finishes the request, because Klein does so with the answer of an
        error handler; it cannot tell that a request that fits no route is finished already.
    """
    code = status_of(error)
    headers = {"cache-control": "no-store"}
    if isinstance(error, UpstreamDown | TooMany):
        headers["retry-after"] = str(error.retry_after)
    elif isinstance(error, Elsewhere):
        headers["location"] = error.url
    elif isinstance(error, NeedsLogin) and error.challenge:
        headers["www-authenticate"] = 'Basic realm="pypicache"'
    elif isinstance(error, Unsatisfiable):
        headers["content-range"] = f"bytes */{error.size}"
    elif isinstance(error, HTTPException):
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            headers["allow"] = ", ".join(sorted(allowed))
    sentence = _sentence(error, code)
    if _in_json(request):
        headers["content-type"] = "application/json"
        said = {"message": sentence}
        if is_form(header(request, "content-type")):  # uv shows nothing but "code" (contract clients 2.3)
            said |= {"code": f"{code} {sentence}", "title": RESPONSES.get(code, b"").decode()}
        body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    else:
        headers["content-type"] = "text/plain; charset=utf-8"
        body = sentence.encode() + b"\n"
    headers["content-length"] = str(len(body))
    request.setResponseCode(code, reason(sentence))
    for name, value in headers.items():
        request.setHeader(name, value)
    return body


def _in_json(request: Request) -> bool:
    """Whether an error is told in JSON: if JSON is asked for, and at some addresses if anything will do.

    Scripts that change something, or fetch a file, seldom send more than ``Accept: */*``, and read ``message``: that is
    how devpi answers them.
    """
    accept = header(request, "accept")
    if wants_json(accept):
        return True
    if accept is not None and ("*/*" not in accept or "text/html" in accept.lower()):
        return False
    if b"/+f/" in request.path or b"/+e/" in request.path:
        return True
    if request.method == b"POST":
        return body_start(request) in {b"{", b"["}  # whatever it is called
    return request.method in {b"PUT", b"PATCH", b"DELETE", b"PUSH"}


def reason(sentence: str) -> bytes:
    """A sentence as the reason phrase, which is all that twine and ``devpi upload`` show (contract devpi 1.4)."""
    line = "".join(character if character.isprintable() else " " for character in sentence)
    return line.encode("latin-1", "replace")[:400]


def _sentence(error: Exception, code: int) -> str:
    if isinstance(error, PypicacheError):
        return str(error)
    if isinstance(error, HTTPException):
        known = {404: "there is nothing at this address", 405: "this address does not know that method"}
        return known.get(code, error.name)
    return "the server failed; its log says why"
