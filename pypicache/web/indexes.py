"""Index administration on the wire (contract devpi 7.3)."""

from __future__ import annotations

from twisted.web.server import Request

from pypicache.core.access import IndexAccess, Verb
from pypicache.core.errors import Denied
from pypicache.ledger.state import State
from pypicache.web.answers import envelope, message_answer
from pypicache.web.bodies import body_of, json_of
from pypicache.web.callers import Callers, require_good_token
from pypicache.web.failures import failed
from pypicache.web.segments import application, has_query
from pypicache.work.indexes import Indexes, options_of


class IndexAdministration:
    """Makes, changes and deletes indexes. What is wrong is told in the order of devpi."""

    app = application()

    def __init__(self, indexes: Indexes, callers: Callers, state: State) -> None:
        self.indexes = indexes
        self.callers = callers
        self._state = state

    @app.route("/<plain:user>/<plain:index>/", methods=["PUT"])
    @app.route("/<plain:user>/<plain:index>", methods=["PUT"])
    async def create(self, request: Request, user: str, index: str) -> None:
        """Make an index; the answer is 200, not 201."""
        name = f"{user}/{index}"
        if (spec := self._state.specs.get(name)) is not None and spec.conceal:
            await self._require(request, name, Verb.INDEX_CREATE)  # before anybody is told that it exists
        await self.indexes.vacant(name)
        await self._require(request, name, Verb.INDEX_CREATE)
        options = options_of(json_of(request)) if body_of(request) else {}
        spec = await self.indexes.create(name, options if isinstance(options, dict) else _set(options))
        [shown] = await self.callers.options(request, spec)
        envelope(request, "indexconfig", shown)

    @app.route("/<plain:user>/<plain:index>/", methods=["PATCH"])
    @app.route("/<plain:user>/<plain:index>", methods=["PATCH"])
    async def modify(self, request: Request, user: str, index: str) -> None:
        """Change options; an index that does not exist may not be changed by anybody."""
        name = f"{user}/{index}"
        await self._require(request, name, Verb.INDEX_MODIFY)
        wanted = options_of(json_of(request))
        must_change = has_query(request, "error_on_noop")
        spec = await self.indexes.modify(name, wanted, must_change=must_change)
        [shown] = await self.callers.options(request, spec)
        envelope(request, "indexconfig", shown)

    @app.route("/<plain:user>/<plain:index>/", methods=["DELETE"])
    @app.route("/<plain:user>/<plain:index>", methods=["DELETE"])
    async def delete(self, request: Request, user: str, index: str) -> None:
        """Delete an index; the answer is 201, not 200."""
        name = f"{user}/{index}"
        await self._require(request, name, Verb.INDEX_DELETE)
        await self.indexes.delete(name)
        message_answer(request, f"index {name} deleted", 201)

    async def _require(self, request: Request, name: str, verb: Verb) -> None:
        spec = self._state.specs.get(name)
        access = IndexAccess(name=name) if spec is None else spec.access
        caller = await self.callers.of(request)
        if not self.callers.allows(caller, access, verb):
            sentence = f"no permission to {verb.removeprefix('index_')} index {name}"
            require_good_token(caller, sentence)
            raise Denied(sentence)

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _set(edits: list[str]) -> dict[str, object]:
    return {key: value for key, _, value in (edit.partition("=") for edit in edits)}
