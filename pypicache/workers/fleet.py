"""The daemon's side of its workers: starts them, answers their questions, takes over their connections."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IListeningPort, IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pypicache.core.errors import PypicacheError
from pypicache.core.model import ProjectName
from pypicache.figures import Figures
from pypicache.index.catalog import Catalog
from pypicache.ledger.ledger import Recorded
from pypicache.store.library import Library
from pypicache.web.asked import Asked, FileAt, PageAt
from pypicache.web.door import LoggedSite
from pypicache.web.negotiation import Coding, Format
from pypicache.web.offers import IAtHand
from pypicache.web.served import Served
from pypicache.workers.messages import Unpacker, packed
from pypicache.workers.replica import Question, file_offer, page_offer
from pypicache.workers.turns import take_turns

MOST_HANDED = 2**18  # bytes that come with a connection
FIRST_REST, LONGEST_REST = 0.1, 10.0  # seconds before a worker that died is replaced
LIVED = 30.0  # seconds after which a worker counts as one that works
FAREWELL = 2.0  # seconds in which workers may send what is going out when the daemon stops


@define
class Desk:
    """Answers what workers ask and say.

    :param at_hand: of the daemon.
    """

    _at_hand: IAtHand
    _catalog: Catalog
    _library: Library
    _figures: Figures

    def offer(self, question: Question) -> tuple[Any, ...] | None:
        """What a worker may answer by itself until it is told otherwise; ``None`` if it has to hand the request over.

        Only what everybody may see is offered.
        """
        kind, name, project = question[0], question[1], ProjectName(question[2])
        index = self._catalog.get(name)
        if index is None:
            return None
        if kind == "page":
            asked = Asked.plain(Format[question[4]], Coding[question[5]])
            page = self._at_hand.page(PageAt(index=name, project=project, simple=True), asked, question[3])
            return None if page is None else page_offer(page.project, page.ready, index.until(project))
        path = question[3]
        file = self._at_hand.file(FileAt(index=name, path=path, projects=(project,)), Asked.plain())
        if file is None:
            return None
        return file_offer(file.found.key, file.etag, file.modified, file.cache_control, index.until(project))

    def used(self, uses: Sequence[tuple[Question, int]], sent_bytes: int) -> None:
        """Count what a worker answered as if it had been answered here."""
        self._figures.bytes_from_cache += sent_bytes
        for question, times in uses:
            index = self._catalog.get(question[1])
            if question[0] == "file":
                self._library.note_use(f"{question[1]}/{question[3]}", times)
            elif index is not None:
                self._figures.page_hits += times - 1
                try:
                    index.at_hand(ProjectName(question[2]))
                except PypicacheError:
                    continue


class Fleet:
    """The workers.

    :param setup: what they are told at their start, besides what changes.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, site: LoggedSite, desk: Desk, setup: Mapping[str, Any], serial: Callable[[], int]
    ) -> None:
        self._reactor = reactor
        self._site = site
        self._desk = desk
        self._setup = dict(setup)
        self._serial = serial
        self._ports: list[Any] = []
        self._stopping: Deferred[None] | None = None
        self.workers: set[WorkerProcess] = set()
        self.restarts = 0

    def start(self, number: int, ports: Sequence[IListeningPort]) -> None:
        """Start workers beside this process.

        :param number: how many.
        :param ports: where to listen; those of plain TCP are shared, all others stay ours alone.
        """
        self._ports = [port for port in ports if _is_plain(port)]
        if not self._ports:
            self.log.warn("no workers are started: they share plain TCP sockets only")
            return
        for port in self._ports:
            take_turns(port)
        for _ in range(number):
            self.spawn(FIRST_REST)

    def spawn(self, rest: float) -> None:
        """Start one worker."""
        if self._stopping is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker = WorkerProcess(self, Handed(self._reactor, ours, self._adopt), self._reactor.seconds(), rest)
        descriptors: dict[int, int | str] = {0: "w", 1: "r", 2: 2, 3: theirs.fileno()}
        descriptors |= {4 + number: port.fileno() for number, port in enumerate(self._ports)}
        command = [sys.executable, "-m", "pypicache.workers.worker"]
        self._reactor.spawnProcess(worker, sys.executable, command, env=_environment(), childFDs=descriptors)
        theirs.close()
        families = [int(port.socket.family) for port in self._ports]
        worker.tell("setup", {**self._setup, "serial": self._serial(), "families": families})
        self.workers.add(worker)

    def ended(self, worker: WorkerProcess, reason: Failure) -> None:
        """A worker is gone; another takes its place, after a moment that grows while they do not live."""
        self.workers.discard(worker)
        if self._stopping is not None:
            if not self.workers:
                self._stopping.callback(None)
            return
        lived = self._reactor.seconds() - worker.began
        rest = FIRST_REST if lived > LIVED else min(worker.rest * 2, LONGEST_REST)
        self.restarts += 1
        self.log.error(
            "worker {pid} ended: {why}; another one starts in {rest} s", pid=worker.pid, why=reason.value, rest=rest
        )
        self._reactor.callLater(rest, self.spawn, rest)

    async def stop(self) -> None:
        """Have the workers end when what they send has gone out; after a moment they are ended anyway."""
        self._stopping = Deferred()
        if not self.workers:
            return
        for worker in self.workers:
            worker.tell("stop")
        late = self._reactor.callLater(FAREWELL, self._end)
        await self._stopping
        if late.active():
            late.cancel()

    def _end(self) -> None:
        for worker in self.workers:
            worker.kill()

    # -- what happens here -----------------------------------------------------------------------------------------

    def follow(self, recorded: Recorded) -> None:
        """Something was recorded in the ledger: workers forget what it may concern."""
        projects = {getattr(change, "project", None) for change in recorded.changes}
        for project in {None} if None in projects else projects:
            self.changed(project)

    def changed(self, project: str | None) -> None:
        """The page of a project may be another one now, or everything may be."""
        for worker in self.workers:
            worker.tell("changed", project, self._serial())

    def told(self, worker: WorkerProcess, kind: str, *rest: Any) -> None:
        """A worker says something (:mod:`pypicache.workers.messages`)."""
        if kind == "ready":
            worker.ready = True
        elif kind == "ask":
            number, question = rest
            worker.tell("answer", number, self._desk.offer(tuple(question)))
        elif kind == "served":
            served, uses, sent_bytes = rest
            worker.requests += len(served)
            self._site.served.take(list(map(Served._make, served)))
            self._desk.used([(tuple(question), times) for question, times in uses], sent_bytes)

    def _adopt(self, descriptor: int, family: int, data: bytes) -> None:
        transport = self._reactor.adoptStreamConnection(descriptor, family, self._site)
        transport.protocol.dataReceived(data)

    def status(self) -> list[dict[str, object]]:
        """The workers as ``+status`` shows them; this process is not among them."""
        now = self._reactor.seconds()
        return [
            {
                "pid": worker.pid,
                "state": "answering" if worker.ready else "starting",
                "uptime": round(now - worker.began, 1),
                "requests": worker.requests,
            }
            for worker in sorted(self.workers, key=lambda each: each.began)
        ]


class WorkerProcess(ProcessProtocol):
    """One worker, as the daemon sees it."""

    def __init__(self, fleet: Fleet, handed: Handed, began: float, rest: float) -> None:
        self.began = began
        self.rest = rest
        self.requests = 0
        self.ready = False
        self.pid: int | None = None
        self._fleet = fleet
        self._handed = handed
        self._unpacker = Unpacker()

    def connectionMade(self) -> None:
        """The process was started."""
        self.pid = self._process.pid

    @property
    def _process(self) -> Any:
        return self.transport

    def tell(self, kind: str, *rest: Any) -> None:
        """Say something to the worker; one that does not listen any more is at its end."""
        with suppress(KeyError):
            self._process.writeToChild(0, packed(kind, *rest))

    def kill(self) -> None:
        """End the process now."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:  # noqa: N802 -- a method of twisted's
        """The worker says something."""
        for message in self._unpacker.feed(data):
            self._fleet.told(self, *message)

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 -- a method of twisted's
        """The process is gone."""
        self._handed.close()
        self._fleet.ended(self, reason)


@implementer(IReadDescriptor)
class Handed:
    """Receives the connections that a worker hands over."""

    log = Logger()

    def __init__(self, reactor: Any, end: socket.socket, adopt: Callable[[int, int, bytes], None]) -> None:
        self._reactor = reactor
        self._end = end
        self._adopt = adopt
        end.setblocking(False)
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._end.fileno()

    def logPrefix(self) -> str:  # noqa: N802 -- a method of twisted's
        return "workers"

    def doRead(self) -> None:  # noqa: N802 -- a method of twisted's
        """Connections are here."""
        for _ in range(100):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._end, MOST_HANDED, 1)
            except BlockingIOError:
                return
            if not data:
                self.close()
                return
            for family, read in Unpacker().feed(data):
                for descriptor in descriptors:
                    try:
                        self._adopt(descriptor, family, read)
                    except OSError as error:  # the client left on the way
                        self.log.info("a connection was lost while it was handed over: {why}", why=str(error))
                    finally:
                        os.close(descriptor)

    def connectionLost(self, reason: Failure) -> None:
        """The worker is gone."""
        self.close()

    def close(self) -> None:
        """Receive no more."""
        if self._end.fileno() >= 0:
            self._reactor.removeReader(self)
            self._end.close()


def _is_plain(port: Any) -> bool:
    """Whether a port is a TCP socket without TLS."""
    family = getattr(getattr(port, "socket", None), "family", None)
    return family in {socket.AF_INET, socket.AF_INET6} and isinstance(getattr(port, "factory", None), LoggedSite)


def _environment() -> dict[str, str]:
    """What a worker is started with: it finds this very package."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
