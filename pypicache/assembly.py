"""The one place where classes are chosen and wired."""

from __future__ import annotations

import os
from errno import EWOULDBLOCK
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from uuid import uuid4

from attrs import frozen
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.iweb import IAgent

from pypicache import __version__
from pypicache.core.errors import BadInput
from pypicache.figures import Figures
from pypicache.index.catalog import Catalog
from pypicache.index.mirror import Mirror, Patience
from pypicache.index.names import ProjectList
from pypicache.listening import Listening
from pypicache.memory import Memory
from pypicache.settings import Settings
from pypicache.store.eviction import Evictor
from pypicache.store.library import Library
from pypicache.store.local import Shelf
from pypicache.tasks import InThread, Tasks
from pypicache.upstream.agents import UpstreamAgent, make_agent
from pypicache.upstream.client import Upstream
from pypicache.web.door import Door, LoggedSite
from pypicache.web.pages import Pages
from pypicache.web.ready import ReadyPages
from pypicache.web.simple import SimplePages
from pypicache.web.wire import Wire
from pypicache.work.overview import Node, Overview
from pypicache.work.upkeep import Upkeep

USER_AGENT = f"pypicache/{__version__} (caching proxy of Python package indexes)"
WORKERS = 4  # threads for parsing, compressing and syncing


class Reactor(IReactorTime, IReactorFromThreads, IReactorCore):
    """What the daemon needs of a reactor, besides connecting and listening."""


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
    door: Door


def build(
    settings: Settings, agent: IAgent, clock: IReactorTime, remember: InThread, in_thread: InThread, uuid: str
) -> House:
    """Wire the parts.

    :param agent: sends requests to upstreams.
    :param remember: runs database work, one call after the other.
    :param in_thread: runs other work that blocks.
    """
    figures = Figures()
    tasks = Tasks()
    shelf = Shelf(settings.state)
    memory = Memory(settings.state / "memory.sqlite", remember)
    upstream = Upstream(
        agent,
        clock,
        user_agent=USER_AGENT,
        connections=settings.upstream_connections,
        max_page_size=settings.max_page_size,
        offline=settings.offline,
        received=figures.received,
    )
    evictor = Evictor(shelf, memory, in_thread, figures, settings.max_size)
    library = Library(
        shelf=shelf, memory=memory, upstream=upstream, evictor=evictor, clock=clock, in_thread=in_thread,
        figures=figures, tasks=tasks,
    )  # fmt: skip
    patience = Patience(cache_expiry=settings.mirror_cache_expiry, request_timeout=settings.request_timeout)
    catalog = Catalog(
        Mirror(
            spec, patience=patience, upstream=upstream, memory=memory, library=library, clock=clock,
            in_thread=in_thread, figures=figures, tasks=tasks,
        )
        for spec in settings.indexes
    )  # fmt: skip
    lists = {
        mirror.name: ProjectList(
            mirror.spec, settings.state / "lists", expiry=mirror.expiry, upstream=upstream, memory=memory, clock=clock,
            in_thread=in_thread, tasks=tasks,
        )
        for mirror in catalog
    }  # fmt: skip
    host, port = settings.address
    node = Node(
        uuid=uuid, state=str(settings.state), host=host, port=port, outside_url=settings.outside_url,
        started=clock.seconds(),
    )  # fmt: skip
    overview = Overview(
        node, catalog=catalog, library=library, evictor=evictor, upstream=upstream, memory=memory, figures=figures,
        clock=clock,
    )  # fmt: skip
    simple = SimplePages(ReadyPages(in_thread), lists, clock=clock, client_max_age=settings.client_max_age)
    wire = Wire(catalog, simple, overview, Pages())
    headers = {
        "x-devpi-api-version": "2",
        "x-devpi-server-version": __version__,
        "x-devpi-uuid": uuid,
        "x-devpi-master-uuid": uuid,
        "x-devpi-primary-uuid": uuid,
        "x-devpi-serial": "0",
        "x-content-type-options": "nosniff",
    }
    upkeep = Upkeep(
        catalog=catalog, library=library, evictor=evictor, shelf=shelf, memory=memory, clock=clock,
        in_thread=in_thread, tasks=tasks, refresh_ahead=settings.refresh_ahead,
    )  # fmt: skip
    return House(
        shelf=shelf, memory=memory, upstream=upstream, library=library, evictor=evictor, catalog=catalog,
        upkeep=upkeep, overview=overview, tasks=tasks, figures=figures,
        door=Door(wire.app.resource(), headers, settings.outside_url),
    )  # fmt: skip


class Daemon(Service):
    """Starts and stops the parts in order: state before work, work before listening; at the end the other way round."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Reactor) -> None:
        self._settings = settings
        self._reactor = reactor
        self._remembering = ThreadPool(1, 1, "memory")
        self._working = ThreadPool(0, WORKERS, "work")
        self._house: House | None = None
        self._agent: UpstreamAgent | None = None
        self.listening: Listening | None = None

    def privilegedStartService(self) -> None:
        settings = self._settings
        uuid = _prepare(settings)
        self._agent = make_agent(
            self._reactor, ca_bundle=settings.ca_bundle, environ=os.environ,
            connections=settings.upstream_connections, connect_timeout=max(10.0, settings.request_timeout),
        )  # fmt: skip
        remember = partial(deferToThreadPool, self._reactor, self._remembering)
        in_thread = partial(deferToThreadPool, self._reactor, self._working)
        house = build(settings, self._agent, self._reactor, remember, in_thread, uuid)
        try:
            house.shelf.prepare()
        except OSError as error:
            raise _stop(settings, error) from error
        self._house = house
        self.listening = Listening(settings.listen, LoggedSite(house.door, self._reactor), self._reactor)
        self.listening.privilegedStartService()

    def startService(self) -> None:
        super().startService()
        assert self._house is not None
        assert self.listening is not None
        self._remembering.start()
        self._working.start()
        self._house.upkeep.start()
        self.listening.startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._house is None or self._agent is None or self.listening is None:
            return  # it never started
        await self.listening.stopService()
        await self._house.tasks.stop()
        await self._house.upkeep.stop()
        await self._house.memory.close()
        await self._agent.close()
        self._remembering.stop()
        self._working.stop()


def _prepare(settings: Settings) -> str:
    """Make the state directory and claim it; the answer is the identity of this node, made at the first start."""
    place = settings.state / "uuid"
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        _claim(settings.state / "lock")
        if not place.exists():
            part = place.with_name("uuid.part")
            part.write_text(uuid4().hex + "\n")
            part.replace(place)
        return place.read_text().strip()
    except OSError as error:
        raise _stop(settings, error) from error


def _claim(place: Path) -> None:
    """Keep other daemons out of the state directory for as long as this process lives.

    :raises BlockingIOError: another one is there.
    """
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(EWOULDBLOCK, "another pypicache uses it") from None


def _stop(settings: Settings, error: OSError) -> BadInput:
    return BadInput(f"state = {str(settings.state)!r}: expected a directory that can be written to ({error.strerror})")


def assemble(settings: Settings, reactor: Reactor) -> IService:
    """The daemon as a service."""
    return Daemon(settings, reactor)
