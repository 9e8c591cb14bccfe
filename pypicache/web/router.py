"""Several Klein applications as one: the first that knows the address and the method answers."""

from __future__ import annotations

from collections.abc import Sequence

from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed


class Router(Resource):
    """Hands each request to the application whose routes match; to the first one if none does, for its error.

    :param apps: bound Klein applications, in the order in which they are asked.
    """

    isLeaf = True

    def __init__(self, apps: Sequence[Klein]) -> None:
        super().__init__()
        self._apps: list[tuple[Klein, IResource]] = [(app, app.resource()) for app in apps]

    def render(self, request: Request) -> bytes | int:
        path = "/" + b"/".join(request.postpath or []).decode("utf-8", "replace")
        method = request.method.decode("latin-1")
        chosen = self._apps[0][1]
        other_method = None
        for app, resource in self._apps:
            try:
                app.url_map.bind("").match(path, method)
            except MethodNotAllowed:
                other_method = other_method or resource
            except HTTPException:
                continue
            else:
                chosen = resource
                break
        else:
            chosen = other_method or chosen
        rendered: bytes | int = chosen.render(request)
        return rendered
