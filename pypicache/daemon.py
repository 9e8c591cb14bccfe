"""The daemon: starts and stops its parts in order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from errno import EWOULDBLOCK
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from uuid import uuid4

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource

from pypicache.assembly import House, build
from pypicache.calm import Calm
from pypicache.core.errors import BadInput
from pypicache.listening import Listening
from pypicache.log_lines import LogLines
from pypicache.settings import Settings
from pypicache.turns import Turns, Watchdog
from pypicache.upstream.agents import UpstreamAgent, make_agent
from pypicache.web.door import LoggedSite
from pypicache.web.served import Served, as_events
from pypicache.workers.fleet import Fleet

READY_IN_WORKERS = 64 * 2**20  # bytes of pages that each worker keeps
THREADS = 4  # for parsing, compressing and syncing


class Reactor(IReactorTime, IReactorFromThreads, IReactorCore):
    """What the daemon needs of a reactor, besides connecting and listening."""


class Daemon(Service):
    """Starts and stops the parts in order: state before work, work before listening; at the end the other way round."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Reactor, log_requests: Callable[[Sequence[Served]], None]) -> None:
        self._settings = settings
        self._reactor = reactor
        self._site = LoggedSite(Resource(), reactor)
        self._site.served.listeners.append(log_requests)
        self._remembering = ThreadPool(1, 1, "memory")
        self._recording = ThreadPool(1, 1, "ledger")
        self._working = ThreadPool(0, THREADS, "work")
        self._house: House | None = None
        self._watchdog: Watchdog | None = None
        self._agent: UpstreamAgent | None = None
        self._outside_agent: UpstreamAgent | None = None
        self._fleet: Fleet | None = None
        self.listening: Listening | None = None

    def privilegedStartService(self) -> None:
        """Listen; everything else is made with the rights that the daemon keeps."""
        self.listening = Listening(self._settings.listen, self._site, self._reactor)
        self.listening.privilegedStartService()

    def startService(self) -> None:
        """Make the state directory and the parts, and answer.

        :raises BadInput: the state directory cannot be used.
        """
        super().startService()
        settings = self._settings
        uuid = _prepare(settings)
        make = partial(
            make_agent, self._reactor, ca_bundle=settings.ca_bundle, environ=os.environ,
            connections=settings.upstream_connections, connect_timeout=max(10.0, settings.request_timeout),
        )  # fmt: skip
        self._agent = make()
        self._outside_agent = make(public_only=not settings.private_networks)
        remember = partial(deferToThreadPool, self._reactor, self._remembering)
        record = partial(deferToThreadPool, self._reactor, self._recording)
        in_thread = partial(deferToThreadPool, self._reactor, self._working)
        turns = Turns(time.monotonic)
        self._watchdog = Watchdog(self._reactor, turns, time.monotonic)
        house = build(
            settings, self._agent, self._reactor, remember=remember, record=record, in_thread=in_thread, uuid=uuid,
            outside_agent=self._outside_agent, turns=turns, when_calm=Calm(self._reactor),
        )  # fmt: skip
        try:
            house.shelf.prepare()
        except OSError as error:
            raise _stop(settings, error) from error
        house.open_ledger(settings)
        self._house = house
        self._site.resource = house.door
        self._site.lane = house.lane
        self._remembering.start()
        self._recording.start()
        self._working.start()
        house.upkeep.start()
        self._watchdog.start()
        house.hooks.start()
        house.strays.start()
        assert self.listening is not None
        self.listening.startService()
        if settings.workers > 1:
            self._fleet = self._start_workers(house, settings, self.listening)

    def _start_workers(self, house: House, settings: Settings, listening: Listening) -> Fleet:
        setup = {
            "state": str(settings.state), "outside_url": settings.outside_url, "dress": dict(house.dress),
            "client_max_age": settings.client_max_age, "most_bytes": READY_IN_WORKERS,
        }  # fmt: skip
        fleet = Fleet(self._reactor, self._site, house.desk, setup, lambda: house.ledger.serial)
        house.ledger.listeners.append(fleet.follow)
        house.changed.append(fleet.changed)
        house.overview.workers = fleet.status
        fleet.start(settings.workers - 1, listening.ports)
        return fleet

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._house is None or self._agent is None or self.listening is None:
            return  # it never started
        await self.listening.stopService()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._fleet is not None:
            await self._fleet.stop()
        self._site.served.tell()
        await self._house.tasks.stop()
        await self._house.upkeep.stop()
        await self._house.memory.close()
        await self._agent.close()
        if self._outside_agent is not None:
            await self._outside_agent.close()
        self._house.ledger.close()
        self._remembering.stop()
        self._recording.stop()
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


def assemble(settings: Settings, reactor: Reactor, lines: LogLines | None = None) -> IService:
    """The daemon as a service.

    :param lines: the log; ``None``: whatever listens to the logging system.
    """
    return Daemon(settings, reactor, as_events if lines is None else lines.requests)
