"""Requests that were answered, for the log and for whoever counts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

NAMESPACE = "pypicache.requests"
FORMAT = "{client} {method} {path} {status} {size} {agent!r}"
EVERY = 0.1  # seconds after which requests are told at the latest
MOST = 2_000  # requests that are told at once
MOST_PATH, MOST_AGENT = 1000, 80  # characters of them that are told


class Served(NamedTuple):
    """One request that was answered; texts are printable."""

    time: float  # seconds since the epoch
    client: str  # address
    method: str
    path: str
    status: int
    size: int  # bytes of the body that were sent
    agent: str

    def fields(self) -> dict[str, object]:
        """What is said of it in a log."""
        return {
            "client": self.client,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "size": self.size,
            "agent": self.agent,
        }


class ServedRequests:
    """Collects requests for a moment, and tells of many at once, because telling of each would cost as much as it.

    :ivar listeners: are told of all requests, in order.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.listeners: list[Callable[[Sequence[Served]], None]] = []
        self._clock = clock
        self._waiting: list[Served] = []

    def note(self, client: str, method: bytes, uri: bytes, status: int, size: int, agent: str) -> None:
        """A request was answered; the texts are as they came."""
        verb, target = printable(method.decode("latin-1")), printable(uri.decode("latin-1"))
        self.add(Served(time.time(), client, verb, target[:MOST_PATH], status, size, agent[:MOST_AGENT]))

    def add(self, served: Served) -> None:
        """A request was answered."""
        if not self._waiting:
            self._clock.callLater(EVERY, self.tell)
        self._waiting.append(served)
        if len(self._waiting) == MOST:
            self.tell()

    def take(self, served: Sequence[Served]) -> None:
        """Tell of requests that another process answered."""
        for listener in self.listeners if served else ():
            listener(served)

    def tell(self) -> None:
        """Tell of the requests that wait."""
        waiting, self._waiting = self._waiting, []
        self.take(waiting)


def printable(text: str) -> str:
    """A text in one line, whatever is in it."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def as_events(served: Sequence[Served]) -> None:
    """Tell the logging system of each request, which is slow and works with any observer."""
    for request in served:
        _requests.info(FORMAT, **request.fields())


_requests = Logger(namespace=NAMESPACE)
