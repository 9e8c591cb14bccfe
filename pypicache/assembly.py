"""The one place where classes are chosen and wired."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import asdict, frozen
from twisted.internet.defer import succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent

from pypicache import __version__
from pypicache.accounts.accounts import Accounts
from pypicache.accounts.api_tokens import ApiTokens
from pypicache.accounts.logins import Logins, own_secret, read_secret
from pypicache.accounts.passwords import Passwords
from pypicache.accounts.users import Users
from pypicache.calm import WhenCalm
from pypicache.core.access import Rules
from pypicache.core.simple_write import VERSION as RENDERING
from pypicache.core.spec import MirrorSpec
from pypicache.core.stage import StageSpec
from pypicache.figures import Figures
from pypicache.index.catalog import Catalog
from pypicache.index.merged_names import MergedList
from pypicache.index.mirror import Mirror, Patience
from pypicache.index.names import Listing, ProjectList
from pypicache.index.stage import Stage
from pypicache.ledger.ledger import Ledger
from pypicache.ledger.state import State
from pypicache.memory import Memory
from pypicache.memory_coded import CodedPages
from pypicache.settings import Settings
from pypicache.store.eviction import Evictor
from pypicache.store.library import Library
from pypicache.store.local import Shelf
from pypicache.store.own import OwnFiles
from pypicache.tasks import InThread, Tasks
from pypicache.together import Together
from pypicache.turns import Turns
from pypicache.upstream.client import Upstream
from pypicache.upstream.outside import Outside
from pypicache.web.accounts import AccountsWire
from pypicache.web.at_hand import AtHand
from pypicache.web.callers import Callers
from pypicache.web.coming import Coming
from pypicache.web.documents import DocumentPages
from pypicache.web.door import Door
from pypicache.web.indexes import IndexAdministration
from pypicache.web.json_api import JsonApi
from pypicache.web.lane import Lane
from pypicache.web.pages import Pages
from pypicache.web.projects import Projects
from pypicache.web.push import PushWire, is_push
from pypicache.web.ready import ReadyPages
from pypicache.web.router import Router, Some
from pypicache.web.search import SearchWire, is_search
from pypicache.web.simple import SimplePages
from pypicache.web.uploads import Uploads
from pypicache.web.wire import Wire
from pypicache.work.clearing import Clearing
from pypicache.work.declare import declare
from pypicache.work.deleting import Deleting
from pypicache.work.documents import Documents
from pypicache.work.external import External
from pypicache.work.hooks import Hooks
from pypicache.work.indexes import Indexes
from pypicache.work.overview import Node, Overview
from pypicache.work.publish import Publisher
from pypicache.work.push import Push
from pypicache.work.strays import Strays
from pypicache.work.upkeep import Upkeep
from pypicache.workers.fleet import Desk

USER_AGENT = f"pypicache/{__version__} (caching proxy of Python package indexes)"


@frozen(kw_only=True)
class House:
    """All parts of one daemon, wired, not yet started."""

    shelf: Shelf
    memory: Memory
    upstream: Upstream
    library: Library
    evictor: Evictor
    catalog: Catalog
    upkeep: Upkeep
    overview: Overview
    tasks: Tasks
    figures: Figures
    ledger: Ledger
    state: State
    accounts: Accounts
    uploads: Uploads
    hooks: Hooks
    strays: Strays
    door: Door
    lane: Lane
    desk: Desk
    changed: list[Callable[[str | None], None]]  # told of projects of mirrors whose page is another one
    dress: Mapping[str, str]  # headers of every answer

    def open_ledger(self, settings: Settings) -> None:
        """Bring the truth up to date, and load what every request asks for. Blocks.

        :raises BadInput: the database cannot be used.
        """
        self.ledger.open(settings.state / "backups")
        self.state.load(self.ledger)
        declare(self.ledger, settings.users, settings.indexes)


def build(
    settings: Settings,
    agent: IAgent,
    clock: IReactorTime,
    *,
    remember: InThread,
    record: InThread,
    in_thread: InThread,
    uuid: str,
    outside_agent: IAgent | None = None,
    turns: Turns | None = None,
    when_calm: WhenCalm = lambda: succeed(None),
) -> House:
    """Wire the parts.

    :param agent: sends requests to upstreams.
    :param remember: runs work on what can be fetched again, one call after the other.
    :param record: runs work on the truth, one call after the other.
    :param in_thread: runs other work that blocks.
    :param outside_agent: sends requests to addresses that users name; ``None``: the same as to upstreams.
    :param when_calm: lets work wait that nobody waits for.
    :param turns: how long the reactor takes; ``None``: nobody measures it.
    """
    figures = Figures()
    tasks = Tasks()
    shelf = Shelf(settings.state)
    memory = Memory(settings.state / "memory.sqlite", Together(remember), when_calm)
    upstream = Upstream(
        agent,
        clock,
        user_agent=USER_AGENT,
        connections=settings.upstream_connections,
        max_page_size=settings.max_page_size,
        offline=settings.offline,
        received=figures.received,
    )
    own = OwnFiles(shelf, in_thread)
    ledger = Ledger(settings.database_url, record, in_thread, clock.seconds, own.keep)
    evictor = Evictor(shelf, memory, in_thread, figures, settings.max_size)
    library = Library(
        shelf=shelf, memory=memory, upstream=upstream, evictor=evictor, clock=clock, in_thread=in_thread,
        figures=figures, tasks=tasks, when_calm=when_calm,
    )  # fmt: skip
    patience = Patience(cache_expiry=settings.mirror_cache_expiry, request_timeout=settings.request_timeout)
    state = State()
    changed: list[Callable[[str | None], None]] = []

    def tell_changed(project: str | None) -> None:
        for listener in changed:
            listener(project)

    lists: dict[str, Listing] = {}

    def make_mirror(spec: MirrorSpec) -> Mirror:
        mirror = Mirror(
            spec, patience=patience, upstream=upstream, memory=memory, library=library, clock=clock,
            in_thread=in_thread, figures=figures, tasks=tasks, changed=tell_changed,
        )  # fmt: skip
        lists[spec.name] = ProjectList(
            spec, settings.state / "lists", expiry=mirror.expiry, upstream=upstream, memory=memory, clock=clock,
            in_thread=in_thread, tasks=tasks,
        )  # fmt: skip
        return mirror

    def make_stage(spec: StageSpec) -> Stage:
        lists[spec.name] = MergedList(
            spec.name, settings.state / "lists", lambda: catalog.order(spec.name), lists, memory=memory,
            in_thread=in_thread,
        )  # fmt: skip
        return Stage(spec, ledger, library)

    catalog = Catalog(state, make_mirror, make_stage)
    ledger.listeners.append(catalog.follow)
    host, port = settings.address
    node = Node(
        uuid=uuid, state=str(settings.state), host=host, port=port, outside_url=settings.outside_url,
        started=clock.seconds(),
    )  # fmt: skip
    coded = CodedPages(memory, f"{__version__}/{RENDERING}", settings.ready_pages)
    ready = ReadyPages(in_thread, coded, tasks, settings.ready_pages)
    ledger.listeners.append(ready.follow)
    overview = Overview(
        node, catalog=catalog, library=library, evictor=evictor, upstream=upstream, memory=memory, ledger=ledger,
        figures=figures, clock=clock, turns=turns or Turns(clock.seconds),
        ready=lambda: asdict(ready.figures()),
    )  # fmt: skip
    simple = SimplePages(ready, lists, clock=clock, client_max_age=settings.client_max_age)
    passwords = Passwords(in_thread)
    secret = settings.secret_file
    key = own_secret(settings.state / "secret") if secret is None else read_secret(secret)
    accounts = Accounts(state, passwords, Logins(key, clock), ApiTokens(state, clock), clock)
    modifiers = settings.restrict_modify
    callers = Callers(accounts, Rules(restrict_modify=None if modifiers is None else frozenset(modifiers)), state)
    clearing = Clearing(
        ledger, own=own, memory=memory, evictor=evictor, in_thread=in_thread, tasks=tasks,
        lists=settings.state / "lists",
    )  # fmt: skip
    projects = Projects(
        catalog, Deleting(ledger, memory, clearing), callers, lists, memory=memory, in_thread=in_thread,
        configured_url=settings.outside_url,
    )  # fmt: skip
    administration = IndexAdministration(Indexes(ledger, settings.private_networks), callers, state)
    wire = Wire(catalog, simple, overview, Pages(), callers, projects)
    accounts_wire = AccountsWire(
        callers, Users(ledger, state, passwords, clock), catalog, ledger, clock, settings.outside_url,
        knows=lambda method, path: router.knows(method, path),
    )  # fmt: skip
    outside = Outside(
        outside_agent or agent, clock, user_agent=USER_AGENT, offline=settings.offline,
        private=settings.private_networks,
    )  # fmt: skip
    hooks = Hooks(ledger, state, outside, clock, tasks)
    push = PushWire(callers, catalog, Push(ledger, library, clock, in_thread), External(outside, shelf, clock))
    search = SearchWire(callers, catalog, ledger, memory)
    json_api = JsonApi(callers, catalog, in_thread, configured_url=settings.outside_url)
    uploads = Uploads(
        publisher=Publisher(ledger, own, clock, in_thread), ledger=ledger, state=state, callers=callers,
        in_thread=in_thread, most=settings.max_upload_size,
    )  # fmt: skip
    documents = DocumentPages(Documents(ledger, shelf, in_thread), state, callers)
    router = Router([
        Some(push.app, is_push), Some(search.app, is_search), json_api.app, accounts_wire.app, uploads.app,
        documents.app, wire.app, projects.app, administration.app,
    ])  # fmt: skip
    headers = {
        "x-devpi-api-version": "2",
        "x-devpi-server-version": __version__,
        "x-devpi-uuid": uuid,
        "x-devpi-master-uuid": uuid,
        "x-devpi-primary-uuid": uuid,
        "x-content-type-options": "nosniff",
    }
    upkeep = Upkeep(
        catalog=catalog, library=library, evictor=evictor, shelf=shelf, memory=memory, clock=clock,
        in_thread=in_thread, tasks=tasks, refresh_ahead=settings.refresh_ahead,
    )  # fmt: skip
    at_hand = AtHand(catalog, callers, ready, library)
    lane = Lane(
        at_hand, Coming(catalog, callers, ready), shelf, clock, settings.outside_url, settings.client_max_age, headers,
        lambda: ledger.serial, figures.sent,
    )  # fmt: skip
    strays = Strays(ledger, shelf, clock=clock, in_thread=in_thread, tasks=tasks)
    return House(
        shelf=shelf, memory=memory, upstream=upstream, library=library, evictor=evictor, catalog=catalog,
        upkeep=upkeep, overview=overview, tasks=tasks, figures=figures,
        ledger=ledger, state=state, accounts=accounts, uploads=uploads, hooks=hooks, strays=strays, lane=lane,
        desk=Desk(at_hand, catalog, library, figures), changed=changed, dress=headers,
        door=Door(router, headers, settings.outside_url, lambda: ledger.serial, uploads.stream),
    )  # fmt: skip
