"""Connections of clients: the lane answers what it can, twisted.web everything else."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

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
    """

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
        reply = site.lane.answer(data) if site.lane is not None and self._idle else None
        if reply is None:
            HTTPChannel.dataReceived(self, data)
            return
        self.resetTimeout()
        self.send(reply)

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
