"""Requests that were answered, for the log and for whoever counts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

NAMESPACE = "pypicache.requests"
FORMAT = "{client} {method} {path} {status} {size} {agent!r}"
EVERY = 0.1  # seconds after which requests are told at the latest
MOST = 2_000  # requests that are told at once


@frozen
class Served:
    """One request that was answered; texts are printable."""

    time: float  # seconds since the epoch
    client: str  # address
    method: str
    path: str
    status: int
    size: int  # bytes of the body that were sent
    agent: str

    def values(self) -> tuple[float, str, str, str, int, int, str]:
        """The same as a tuple, in order."""
        return (self.time, self.client, self.method, self.path, self.status, self.size, self.agent)

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
        if not self._waiting:
            self._clock.callLater(EVERY, self.tell)
        verb, target = method.decode("latin-1"), uri.decode("latin-1")
        self._waiting.append(
            Served(
                time.time(), client, verb if verb.isprintable() else _printable(verb),
                target[:1000] if target.isprintable() else _printable(target)[:1000], status, size, agent[:80],
            )
        )  # fmt: skip
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


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def as_events(served: Sequence[Served]) -> None:
    """Tell the logging system of each request, which is slow and works with any observer."""
    for request in served:
        _requests.info(FORMAT, **request.fields())


_requests = Logger(namespace=NAMESPACE)
