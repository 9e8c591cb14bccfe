"""Several Klein applications as one: the first that knows the address and the method answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from attrs import frozen
from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pypicache.web.answers import problem

MOST_KNOWN = 4096  # addresses whose applications are remembered
LONG = 200  # characters of an address that is not


@frozen
class Some:
    """An application that answers only some of the requests that its routes match."""

    app: Klein
    wants: Callable[[Request], bool]


@frozen
class _Routes:
    """What the applications, by their numbers, have at an address."""

    answer: Sequence[int]  # they answer the method
    allowed: Mapping[int, Iterable[str]]  # they answer other methods


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
        self._known_routes = lru_cache(MOST_KNOWN)(self._routes)  # tools ask for the same addresses over and over

    def knows(self, method: str, path: str) -> bool:
        """Whether an application answers this method at this path."""
        return bool(self._routes(method, path).answer)

    def render(self, request: Request) -> bytes | int:
        path = "/" + b"/".join(request.postpath or []).decode("utf-8", "replace")
        method = request.method.decode("latin-1")
        routes = self._routes(method, path) if len(path) > LONG else self._known_routes(method, path)
        chosen = next((number for number in routes.answer if self._is_wanted(number, request)), None)
        if chosen is None:
            allowed = {
                verb for number, verbs in routes.allowed.items() if self._is_wanted(number, request) for verb in verbs
            }
            if allowed:
                request.write(problem(request, MethodNotAllowed(sorted(allowed))))
                request.finish()
                return NOT_DONE_YET
        rendered: bytes | int = self._apps[chosen or 0][1].render(request)
        return rendered

    def _is_wanted(self, number: int, request: Request) -> bool:
        wants = self._wants[number]
        return wants is None or wants(request)

    def _routes(self, method: str, path: str) -> _Routes:
        answer: list[int] = []
        allowed: dict[int, Iterable[str]] = {}
        for number, (app, _) in enumerate(self._apps):
            try:
                app.url_map.bind("").match(path, method)
            except MethodNotAllowed as error:
                allowed[number] = list(error.valid_methods or ())
            except HTTPException:
                continue
            else:
                answer.append(number)
        return _Routes(answer, allowed)
