"""Connections of clients: the lane answers what it can, twisted.web everything else."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from pypicache.core.errors import PypicacheError
from pypicache.web.lane import Lane
from pypicache.web.outgoing import Answering
from pypicache.web.served import ServedRequests


class LaneSite(Protocol):
    """What a connection needs of its site."""

    lane: Lane | None
    served: ServedRequests


class LaneChannel(Answering, HTTPChannel):
    """One connection.

    ::

        bytes --> idle, and a whole plain request --> lane.answer --> Reply --> written; a file by sendfile
                  anything else, or no Reply ------> twisted.web, which is given the same bytes
                  a file is going out -------------> kept until it has gone
                  somebody was asked for it -------> kept until there is a Reply, or twisted.web is given the bytes

    :ivar error: what came of the question that twisted.web is given, if that is known already.
    """

    error: PypicacheError | None = None

    _HTTPChannel__first_line: int  # 1: a request may begin, perhaps after an empty line

    @property
    def served(self) -> ServedRequests:
        """Who is told of the requests."""
        site: LaneSite = self.factory
        return site.served

    def dataReceived(self, data: bytes) -> None:
        if self._outgoing is not None:
            self._outgoing.hold(data)
            return
        site: LaneSite = self.factory
        lane = site.lane if self._idle else None
        reply = None if lane is None else lane.answer(data)
        if reply is not None:
            self.resetTimeout()
            self.send(reply)
            return
        coming = None if lane is None else lane.ask(data)
        if coming is None:
            HTTPChannel.dataReceived(self, data)
        else:
            self.wait(coming, data)

    def decline(self, data: bytes, error: PypicacheError | None) -> None:
        """Have the normal path answer a request; with an error, if that is what came of it."""
        self.error = error
        try:
            HTTPChannel.dataReceived(self, data)
        finally:
            self.error = None

    @property
    def _idle(self) -> bool:
        """Whether nothing is under way, and nothing half read."""
        return bool(
            not self.requests
            and not self._buffer
            and self._HTTPChannel__first_line == 1
            and self.line_mode
            and self.persistent
            and not self.transport.disconnecting
        )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left."""
        self.abandon()
        HTTPChannel.connectionLost(self, reason)
