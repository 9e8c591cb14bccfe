"""Search as old versions of ``pip search`` ask for it: XML-RPC on the address of an index (contract devpi 15.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from packaging.version import InvalidVersion, Version
from twisted.logger import Logger
from twisted.web.server import Request

from pypicache.core.errors import BadInput, PypicacheError
from pypicache.index.catalog import Catalog
from pypicache.index.mirror import Mirror
from pypicache.ledger.ledger import Ledger
from pypicache.ledger.search import all_releases
from pypicache.memory import Memory
from pypicache.web.answers import answer
from pypicache.web.bodies import body_of
from pypicache.web.callers import Callers
from pypicache.web.failures import failed
from pypicache.web.push import XML, media_type
from pypicache.web.segments import application

MOST = 1_000  # projects in one answer
MOST_TERMS = 100
FIELDS = frozenset({"name", "summary"})
OPERATORS = frozenset({"and", "or", "andnot", "andmaybe", "not"})

log = Logger()


def is_search(request: Request) -> bool:
    """Tell searches from what else is posted to an index."""
    return media_type(request) in XML


@frozen(kw_only=True)
class Hit:
    """One project."""

    index: str
    name: str
    version: str = ""
    summary: str = ""


@frozen(kw_only=True)
class Query:
    """What is searched for.

    :ivar terms: field and text, in lower case.
    """

    terms: Sequence[tuple[str, str]]
    operator: str

    @classmethod
    def of(cls, parameters: Sequence[Any]) -> Query:
        """Read the parameters of the method ``search``: a struct of fields, each a text or a list, and an operator.

        :raises BadInput: they are something else.
        """
        if not 1 <= len(parameters) <= 2 or not isinstance(parameters[0], dict):
            raise BadInput("search: expected a struct of fields and an operator")
        operator = parameters[1] if len(parameters) == 2 else "and"
        if operator not in OPERATORS:
            raise BadInput(f"search: {operator!r} is no operator; expected one of {', '.join(sorted(OPERATORS))}")
        terms: list[tuple[str, str]] = []
        for key, values in parameters[0].items():
            texts = values if isinstance(values, list) else [values]
            if not all(isinstance(text, str) for text in texts):
                raise BadInput(f"search: {key}: expected texts")
            if key in FIELDS:  # others are not known of any project
                terms += [(key, text.strip().lower()) for text in texts if text.strip()]
        if not 0 < len(terms) <= MOST_TERMS:
            raise BadInput(f"search: expected 1 to {MOST_TERMS} terms in name or summary")
        return cls(terms=terms, operator=operator)

    def rank(self, hit: Hit) -> int:
        """How well a project fits; 0: not at all. The terms are parts of the fields' words."""
        texts = {"name": hit.name.lower().replace("_", "-").replace(".", "-"), "summary": hit.summary.lower()}
        found = [
            term in texts[field] or (field == "name" and term.replace("_", "-").replace(".", "-") in texts[field])
            for field, term in self.terms
        ]
        match self.operator:
            case "and":
                fits = all(found)
            case "or":
                fits = any(found)
            case "andnot":
                fits = found[0] and not any(found[1:])
            case "andmaybe":
                fits = found[0]
            case _:
                return int(not any(found))
        same = any(field == "name" and term == texts["name"] for field, term in self.terms)
        return (sum(found) + (len(found) + 1 if same else 0)) if fits else 0


class SearchWire:
    """Finds projects of an index and its bases; those of a mirror as far as they were asked for."""

    app = application()

    def __init__(self, callers: Callers, catalog: Catalog, ledger: Ledger, memory: Memory) -> None:
        self._callers = callers
        self._catalog = catalog
        self._ledger = ledger
        self._memory = memory

    @app.route("/<user>/<index>/", methods=["POST"])
    @app.route("/<user>/<index>", methods=["POST"])
    async def searched(self, request: Request, user: str, index: str) -> None:
        """Answer a call; what goes wrong with it is a fault, with status 200."""
        import xmlrpc.client

        found = self._catalog.find(user, index)
        await self._callers.reader(request, found.spec)
        try:
            method, parameters = read_call(body_of(request))
            if method != "search":
                raise BadInput(f"there is no method {method[:80]!r}")
            result: Any = await self._search(found.name, Query.of(parameters))
            text = xmlrpc.client.dumps((result,), methodresponse=True, allow_none=False)
        except PypicacheError as error:
            text = xmlrpc.client.dumps(xmlrpc.client.Fault(1, str(error)))
        answer(request, _writable(text).encode(), b"text/xml", headers={"cache-control": "no-store"})

    async def _search(self, name: str, query: Query) -> list[dict[str, object]]:
        hits: dict[str, Hit] = {}
        order = self._catalog.order(name)
        stages = [index.name for index in order if not isinstance(index, Mirror)]
        newest: dict[tuple[str, str], Any] = {}
        for registered in await self._ledger.read(lambda connection: all_releases(connection, stages)):
            key = (registered.index, registered.project)
            if key not in newest or _newness(registered.version) > _newness(newest[key].version):
                newest[key] = registered
        for index in order:
            if isinstance(index, Mirror):
                for project in await self._memory.projects(index.name):
                    hits.setdefault(project, Hit(index=index.name, name=project))
                continue
            for (of, project), one in newest.items():
                if of == index.name:
                    hits.setdefault(project, Hit(index=of, name=one.name, version=one.version, summary=one.summary))
        ranked = [(query.rank(hit), hit) for hit in hits.values()]
        ranked = sorted((pair for pair in ranked if pair[0]), key=lambda pair: (-pair[0], pair[1].name))[:MOST]
        return [
            {
                "name": hit.name,
                "summary": f"[{hit.index}] {hit.summary}".rstrip(),
                "version": hit.version,
                "_pypi_ordering": rank,
            }
            for rank, hit in ranked
        ]

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def read_call(body: bytes) -> tuple[str, tuple[Any, ...]]:
    """Read an XML-RPC call: the method and its parameters.

    A document type is refused, and with it all entities: nothing is expanded or fetched.

    :raises BadInput: it is none.
    """
    import xmlrpc.client  # here, because most daemons are never searched
    from xml.parsers import expat

    target = xmlrpc.client.Unmarshaller(use_builtin_types=True)
    target.xml(None, None)  # type: ignore[arg-type]  # as the standard library does: texts come decoded
    parser = expat.ParserCreate(None, None)

    def refuse(*_: object) -> None:
        raise BadInput("a document type is not expected here")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    try:
        parser.Parse(body, True)
        parameters = target.close()
        method = target.getmethodname()
    except BadInput:
        raise
    except Exception as error:  # whatever the standard library makes of what it cannot read
        raise BadInput(f"the call cannot be read: {type(error).__name__}") from error
    if not isinstance(method, str):
        raise BadInput("the call cannot be read: it names no method")
    return method, tuple(parameters)


def _newness(version: str) -> tuple[bool, bool, Version, str]:
    try:
        parsed = Version(version)
    except InvalidVersion:
        return False, False, Version("0"), version
    return True, not parsed.is_prerelease, parsed, version


def _writable(text: str) -> str:
    """The text without what no XML can have."""
    return "".join(
        character if character in "\t\n\r" or (character >= " " and not "\ud800" <= character <= "\udfff") else "?"
        for character in text
    )
