"""A worker: a process that accepts connections beside the daemon, and answers what it has at hand.

::

    client --> worker --> at hand ------------------------------> answered here
                          not here --> the daemon: is it there? --> offered: kept, answered here
                                                                --> no: the connection itself is handed to the daemon,
                                                                    with the bytes that were read from it

A worker changes nothing. It ends when the daemon does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from pypicache.process import running_reactor
from pypicache.store.local import Shelf
from pypicache.turns import Turns, Watchdog
from pypicache.web.lane import Lane
from pypicache.web.outgoing import MOST_HELD, Answering
from pypicache.web.served import ServedRequests
from pypicache.workers.messages import Unpacker, packed
from pypicache.workers.replica import Question, Replica
from pypicache.workers.turns import take_turns

PATIENCE = 75  # seconds between the requests of a connection
HANDING_OVER, FIRST_PORT = 3, 4  # file descriptors that the daemon gives a worker
ONCE_MORE = 0.005  # seconds after which a connection is handed over that the daemon could not take at once

log = Logger()


class Worker(Protocol):
    """The worker, as the other end of the daemon's messages."""

    transport: Any  # its standard input and output

    def __init__(self, reactor: Any, setup: Mapping[str, Any], unpacker: Unpacker) -> None:
        self.reactor = reactor
        self.serial: int = setup["serial"]
        self.sent_bytes = 0
        shelf = Shelf(Path(setup["state"]))
        self.replica = Replica(shelf, reactor, setup["most_bytes"])
        self.lane = Lane(
            self.replica, None, shelf, reactor, setup["outside_url"], setup["client_max_age"], setup["dress"],
            lambda: self.serial, self._count,
        )  # fmt: skip
        self.served = ServedRequests(reactor)
        self.served.listeners.append(self._tell)
        self.connections: set[Connection] = set()
        self._unpacker = unpacker
        self._numbers = count()
        self._asked: dict[int, tuple[Question, Callable[[], None]]] = {}
        self._handing = socket.socket(fileno=HANDING_OVER)
        self._handing.setblocking(False)
        self._ports: list[Any] = []

    def listen(self, families: list[int]) -> None:
        """Accept connections on the sockets that the daemon listens on."""
        factory = Factory.forProtocol(partial(Connection, self))
        factory.noisy = False
        for number, family in enumerate(families):
            self._ports.append(take_turns(self.reactor.adoptStreamPort(FIRST_PORT + number, family, factory)))
            os.close(FIRST_PORT + number)
        self.transport.write(packed("ready"))

    def _count(self, size: int) -> None:
        self.sent_bytes += size

    def _tell(self, served: Any) -> None:
        uses, self.replica.uses = self.replica.uses, type(self.replica.uses)()
        size, self.sent_bytes = self.sent_bytes, 0
        self.transport.write(packed("served", [tuple(one) for one in served], list(uses.items()), size))

    # -- questions -------------------------------------------------------------------------------------------------

    def ask(self, question: Question, then: Callable[[], None]) -> None:
        """Have the daemon offer something, if it can; then go on."""
        number = next(self._numbers)
        self._asked[number] = (question, then)
        self.transport.write(packed("ask", number, question))

    def hand_over(self, connection: Connection, data: bytes) -> None:
        """Give a connection to the daemon, and what was read from it."""
        descriptor = connection.transport.fileno()
        family = connection.transport.socket.family
        try:
            socket.send_fds(self._handing, [packed(int(family), data)], [descriptor])
        except BlockingIOError:
            self.reactor.callLater(ONCE_MORE, self._hand_over_later, connection, data)
            return
        except OSError as error:
            log.error("a connection could not be handed over: {why}", why=str(error))
            connection.transport.abortConnection()
            return
        connection.let_go()

    def _hand_over_later(self, connection: Connection, data: bytes) -> None:
        if connection in self.connections:
            self.hand_over(connection, data)

    # -- what the daemon says --------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Bytes came from the daemon."""
        for message in self._unpacker.feed(data):
            self.told(*message)

    def told(self, kind: str, *rest: Any) -> None:
        """The daemon says something (:mod:`pypicache.workers.messages`)."""
        match kind:
            case "answer":
                self._answered(*rest)
            case "changed":
                project, self.serial = rest
                self.replica.forget(project)
            case "stop":
                self._stop()

    def _answered(self, number: int, offer: Any) -> None:
        question, then = self._asked.pop(number)
        if offer is not None:
            self.replica.take(question, offer)
        then()

    def _stop(self) -> None:
        for port in self._ports:
            port.stopListening()
        self._ports = []
        for connection in list(self.connections):
            connection.end_soon()
        self.stop_when_idle()

    def stop_when_idle(self) -> None:
        """End the process if it is to end, and nothing goes out any more."""
        if not self._ports and not self.connections:
            self.served.tell()
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The daemon is gone, or has read our last message: nothing that we have can be trusted any more."""
        if self.reactor.running:
            self.reactor.stop()


@implementer(IPushProducer)
class Connection(Answering, TimeoutMixin, Protocol):
    """A client's connection, as long as it is the worker's."""

    timeOut = PATIENCE  # noqa: N815 -- of twisted's protocols

    def __init__(self, worker: Worker) -> None:
        self.served = worker.served
        self._worker = worker
        self._unread = b""  # came while we ask the daemon
        self._asking = False
        self._leaving: bytes | None = None  # to be handed over when everything has gone out

    def connectionMade(self) -> None:
        """A client is here."""
        self._worker.connections.add(self)
        self.transport.setTcpNoDelay(True)
        self.setTimeout(self.timeOut)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        if self._outgoing is not None:
            self._outgoing.hold(data)
        elif self._asking or self._leaving is not None:
            self._unread += data
            if len(self._unread) > MOST_HELD:
                self.transport.pauseProducing()  # whoever goes on reads on
        elif self.persistent and not self.transport.disconnecting:
            self.resetTimeout()
            self._answer(data, self._ask)

    def _answer(self, data: bytes, otherwise: Callable[[Question, bytes], None] | None) -> None:
        replica = self._worker.replica
        replica.missed = None
        reply = self._worker.lane.answer(data)
        if reply is not None:
            self.send(reply)
        elif replica.missed is not None and otherwise is not None:
            otherwise(replica.missed, data)
        else:
            self._leave(data)

    def _ask(self, question: Question, data: bytes) -> None:
        self._asking = True
        self._worker.ask(question, partial(self._go_on, data))

    def _go_on(self, data: bytes) -> None:
        self._asking = False
        if self not in self._worker.connections:
            return
        self.transport.resumeProducing()
        if self._unread:
            self._leave(data)
        else:
            self._answer(data, None)

    def _leave(self, data: bytes) -> None:
        self._leaving = data
        self.setTimeout(None)
        self.transport.unregisterProducer()
        self.transport.registerProducer(Drained(self.transport, self._hand_over), False)

    def _hand_over(self) -> None:
        data, self._unread = (self._leaving or b"") + self._unread, b""
        self.transport.stopReading()
        self._worker.hand_over(self, data)

    def let_go(self) -> None:
        """The daemon has the connection now; close our side of it without ending it."""
        self.transport._shouldShutdown = False
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def end_soon(self) -> None:
        """End the connection when what is going out has gone."""
        self.persistent = False
        if self._outgoing is None and not self._asking and self._leaving is None:
            self.transport.loseConnection()

    def sent(self, reply: Any, held: bytes) -> None:
        super().sent(reply, held)
        if not self.persistent:
            self.transport.loseConnection()

    # -- producing -------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The client does not take what we send: read no more of its requests."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Everything has gone out."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone."""

    def loseConnection(self) -> None:
        """End the connection when everything has gone out."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left, or the daemon has the connection."""
        self.setTimeout(None)
        self.abandon()
        self._worker.connections.discard(self)
        self._worker.stop_when_idle()


@implementer(IPullProducer)
class Drained:
    """Calls once, when a transport has nothing left to write."""

    def __init__(self, transport: Any, then: Callable[[], None]) -> None:
        self._transport = transport
        self._then: Callable[[], None] | None = then

    def resumeProducing(self) -> None:
        """Perhaps everything has gone out."""
        if self._then is not None and not (self._transport.dataBuffer or self._transport._tempDataBuffer):
            then, self._then = self._then, None
            then()

    def stopProducing(self) -> None:
        """The connection is gone."""


def main() -> None:
    """Run one worker; the daemon starts it with its setup as the first message."""
    # Signals that are meant for the daemon reach its workers too, from a terminal or systemd: it tells them what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    unpacker = Unpacker()
    messages: list[Any] = []
    while not messages:
        came = os.read(0, 65536)
        if not came:
            return  # the daemon is gone already
        messages += unpacker.feed(came)
    (_, setup), *more = messages
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    reactor = running_reactor()
    worker = Worker(reactor, setup, unpacker)
    StandardIO(worker, reactor=reactor)
    for message in more:
        worker.told(*message)
    worker.listen(setup["families"])
    Watchdog(reactor, Turns(time.monotonic), time.monotonic).start()
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
