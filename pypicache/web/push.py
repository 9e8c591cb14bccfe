"""The route for pushing releases: to another index, or to a repository elsewhere (contract devpi 13 and 22)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.server import Request

from pypicache.core.access import Caller, Verb
from pypicache.core.addresses import web_address
from pypicache.core.errors import BadInput, Denied, NeedsLogin, NotFound
from pypicache.core.model import index_name
from pypicache.core.stage import StageSpec
from pypicache.index.catalog import Catalog, Index
from pypicache.web.answers import envelope, header
from pypicache.web.bodies import body_start, json_of
from pypicache.web.callers import Callers, require_good_token
from pypicache.web.failures import failed
from pypicache.web.negotiation import SHORT_FORM
from pypicache.web.segments import application
from pypicache.work.external import External, Repository
from pypicache.work.push import Push, Wanted

COMMON = frozenset({"name", "version", "no_docs", "only_docs"})
INSIDE = COMMON | {"targetindex"}
OUTSIDE = COMMON | {"posturl", "username", "password", "register_project"}
FORMS = frozenset({"multipart/form-data", SHORT_FORM})
XML = frozenset({"text/xml", "application/xml"})


def media_type(request: Request) -> str:
    """What a body is said to be, without parameters, in lower case."""
    return (header(request, "content-type") or "").partition(";")[0].strip().lower()


def is_push(request: Request) -> bool:
    """Tell pushes from what else is posted to an index: forms of uploaders, and searches."""
    kind = media_type(request)
    if request.method == b"PUSH" or kind not in FORMS | XML:
        return True
    # curl and others call whatever they post a form, unless they are told better.
    return kind == SHORT_FORM and body_start(request) == b"{"


class PushWire:
    """Pushes releases."""

    app = application()

    def __init__(self, callers: Callers, catalog: Catalog, push: Push, external: External) -> None:
        self.callers = callers
        self.catalog = catalog
        self.push = push
        self.external = external

    @app.route("/<user>/<index>/", methods=["PUSH", "POST"])
    @app.route("/<user>/<index>", methods=["PUSH", "POST"])
    async def pushed(self, request: Request, user: str, index: str) -> None:
        """Push a release."""
        caller = await self.callers.of(request)
        source = self._readable(caller, f"{user}/{index}")
        order = json_of(request)
        wanted = _wanted(order)
        if not self.callers.may_read(caller, source.spec, wanted.project):
            require_good_token(caller, "package read forbidden")
            raise Denied("package read forbidden")
        parcel = await self.push.look(source, wanted)
        if "targetindex" in order or "posturl" not in order:
            _no_more_than(order, INSIDE)
            target = self._target(caller, order.get("targetindex"), wanted)
            actions = await self.push.to_index(source, wanted, target.name, target.volatile, caller.user)
            envelope(request, "actionlog", actions)
            return
        _no_more_than(order, OUTSIDE)
        self._may_send(caller, source, wanted)
        repository = _repository(order, self.external.private)
        done, actions = await self.external.push(parcel, repository, bool(order.get("register_project")))
        envelope(request, "actionlog", actions, code=200 if done else 502)

    def _readable(self, caller: Caller, name: str) -> Index:
        found = self.catalog.get(name)
        if found is None or not self.callers.shows(caller, found.spec):
            raise NotFound(f"The stage {name} could not be found.")
        return found

    def _target(self, caller: Caller, name: object, wanted: Wanted) -> StageSpec:
        try:
            full = index_name(name.strip("/") if isinstance(name, str) else "")
        except BadInput:
            raise BadInput("targetindex not in format user/index") from None
        spec = self._readable(caller, full).spec
        if not isinstance(spec, StageSpec) or not self.callers.allows(caller, spec.access, Verb.UPLOAD, wanted.project):
            sentence = f"user {caller.user!r} cannot upload to {full!r}"
            require_good_token(caller, sentence)
            # The devpi client expects 401 of everybody here, also of those who have logged in (contract devpi 13.1).
            raise NeedsLogin(sentence, challenge=False)
        return spec

    def _may_send(self, caller: Caller, source: Index, wanted: Wanted) -> None:
        if not self.callers.allows(caller, source.spec.access, Verb.UPLOAD, wanted.project):
            sentence = f"user {caller.user!r} cannot upload to {source.name!r}, so not push from there to elsewhere"
            require_good_token(caller, sentence)
            raise NeedsLogin(sentence, challenge=False) if caller.user is None else Denied(sentence)

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _wanted(order: Any) -> Wanted:
    if not isinstance(order, dict):
        raise BadInput("Bad request: expected a JSON object")
    for key in ("name", "version"):
        if not isinstance(order.get(key), str) or not order[key]:
            raise BadInput(f"{key} is missing: expected a text")
    if order.get("no_docs") and order.get("only_docs"):
        raise BadInput("can't use 'no_docs' and 'only_docs' together")
    wanted = Wanted(
        name=order["name"], version=order["version"], docs=not order.get("no_docs"), releases=not order.get("only_docs")
    )
    _ = wanted.project  # a name that is none is told before anything is looked up
    return wanted


def _no_more_than(order: Mapping[str, object], known: frozenset[str]) -> None:
    unknown = sorted(set(order) - known)
    if unknown:
        raise BadInput(f"unknown additional options: {', '.join(unknown)}")


def _repository(order: Mapping[str, object], private: bool) -> Repository:
    url = web_address("posturl", order["posturl"], private)
    for key in ("username", "password"):
        if not isinstance(order.get(key), str):
            raise BadInput(f"{key} is missing: expected a text")
    return Repository(url=url, user=str(order["username"]), password=str(order["password"]))
