"""Several Klein applications as one: the first that knows the address and the method answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pypicache.web.answers import problem


@frozen
class Some:
    """An application that answers only some of the requests that its routes match."""

    app: Klein
    wants: Callable[[Request], bool]


class Router(Resource):
    """Hands each request to the application whose routes match; to the first one if none does, for its error.

    :param apps: bound Klein applications, in the order in which they are asked.
    """

    isLeaf = True

    def __init__(self, apps: Sequence[Klein | Some]) -> None:
        super().__init__()
        bare = [one.app if isinstance(one, Some) else one for one in apps]
        self._wants = [one.wants if isinstance(one, Some) else None for one in apps]
        self._apps: list[tuple[Klein, IResource]] = [(app, app.resource()) for app in bare]

    def knows(self, method: str, path: str) -> bool:
        """Whether an application answers this method at this path."""
        for app, _ in self._apps:
            try:
                app.url_map.bind("").match(path, method)
            except HTTPException:
                continue
            return True
        return False

    def render(self, request: Request) -> bytes | int:
        path = "/" + b"/".join(request.postpath or []).decode("utf-8", "replace")
        method = request.method.decode("latin-1")
        chosen = self._apps[0][1]
        allowed: set[str] = set()
        for (app, resource), wants in zip(self._apps, self._wants, strict=True):
            if wants is not None and not wants(request):
                continue
            try:
                app.url_map.bind("").match(path, method)
            except MethodNotAllowed as error:
                allowed.update(error.valid_methods or ())
            except HTTPException:
                continue
            else:
                chosen = resource
                break
        else:
            if allowed:
                request.write(problem(request, MethodNotAllowed(sorted(allowed))))
                request.finish()
                return NOT_DONE_YET
        rendered: bytes | int = chosen.render(request)
        return rendered
