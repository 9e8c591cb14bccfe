"""Several Klein applications as one: the first that knows the address and the method answers."""

from __future__ import annotations

from collections.abc import Sequence

from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pypicache.web.answers import problem


class Router(Resource):
    """Hands each request to the application whose routes match; to the first one if none does, for its error.

    :param apps: bound Klein applications, in the order in which they are asked.
    """

    isLeaf = True

    def __init__(self, apps: Sequence[Klein]) -> None:
        super().__init__()
        self._apps: list[tuple[Klein, IResource]] = [(app, app.resource()) for app in apps]

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
        for app, resource in self._apps:
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
