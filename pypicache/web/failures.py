"""What a request that fails is answered, in every Klein application alike."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from pypicache.core.errors import PypicacheError
from pypicache.web.answers import problem
from pypicache.web.pour import Cut

log = Logger()


def failed(_app: object, request: Request, failure: Failure) -> Deferred[None] | bytes:
    """Answer with what went wrong; where an answer was begun, cut it off."""
    error = failure.value
    if not isinstance(error, Exception) or isinstance(error, CancelledError):
        failure.raiseException()  # the client left, or the process ends
    if not isinstance(error, (PypicacheError, HTTPException)):
        log.failure("{path} failed", failure, path=request.path.decode("ascii", "replace"))
    if isinstance(error, Cut) or request.startedWriting:
        return _cut(request)
    return problem(request, error)


def answered(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Answer a request without a Klein application, as one would: it ends when the client leaves."""
    answering: Deferred[None] = Deferred.fromCoroutine(work)
    request.notifyFinish().addErrback(lambda _: answering.cancel())

    def fail(failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        said = failed(None, request, failure)
        if isinstance(said, bytes):
            request.write(said)
            request.finish()

    answering.addErrback(fail)
    answering.addErrback(lambda failure: log.failure("a request could not be answered", failure))


def _cut(request: Request) -> Deferred[None]:
    # Finishing the request would make a short answer look whole, so it is not finished: its connection is closed.
    over: Deferred[None] = request.notifyFinish().addErrback(lambda _: None)
    if request.clientproto == b"HTTP/1.0" and not request.responseHeaders.hasHeader("content-length"):
        # The closed connection alone would be the proper end of this body; only a reset tells that it is none.
        getattr(request.transport, "abortConnection", request.loseConnection)()
    else:
        request.loseConnection()
    return over
