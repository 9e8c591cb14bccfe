"""How the answers of the lane are written to a connection."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pypicache.core.errors import Broken, PypicacheError
from pypicache.web.lane import Part, Reply
from pypicache.web.sending import PIECE, hand_over
from pypicache.web.served import Served

log = Logger()

MSG_MORE = getattr(socket, "MSG_MORE", 0)  # what follows goes into the same packet
TOGETHER = 16 * 2**10  # bytes of a body that are sooner copied than handed over apart from their head
MOST_HELD = 64 * 2**10  # bytes of further requests that are read while an answer goes out


class Answering:
    """A connection that writes answers of the lane; mixed into a protocol, which goes on when one has gone out."""

    transport: Any  # plain TCP, a socket file, TLS or one in memory
    served: Any  # ServedRequests
    persistent: Any = True  # whether another request may follow
    setTimeout: Any  # noqa: N815 -- of twisted's protocols
    dataReceived: Any
    resumeProducing: Any
    loseConnection: Any
    decline: Any
    _outgoing: Outgoing | Awaited | None = None
    _client: str | None = None

    def send(self, reply: Reply) -> None:
        """Write an answer, and a line in the log when it has gone out."""
        transport, data, body, part = self.transport, reply.data, reply.body, reply.part
        if len(body) <= TOGETHER:
            data, body = data + body, b""
        plain = isinstance(transport, tcp.Connection) and not transport.TLS
        sent = 0
        if plain and not transport.dataBuffer and not transport._tempDataBuffer:
            try:  # as much as the socket takes at once
                if body:
                    sent = transport.socket.sendmsg((data, body))
                else:
                    sent = transport.socket.send(data, MSG_MORE if part is not None else 0)
            except OSError:  # it is full, or gone: the transport finds out which
                sent = 0
        if sent < len(data) + len(body):
            for rest in (data[sent:], body[max(0, sent - len(data)) :]):
                if rest:
                    transport.write(rest)
        elif part is not None:
            with suppress(Broken, OSError):  # it fails again when the rest is to go out
                part.at += hand_over(transport.fileno(), part.descriptor, part.at, part.end - part.at)
        if part is not None and part.at < part.end:
            self._outgoing = Outgoing(self, reply, part, plain)
            self._outgoing.begin()
            return
        if part is not None:
            part.close()
        self._over(reply)

    def wait(self, coming: Deferred[Reply | None], data: bytes) -> None:
        """Write an answer when it is here; or have the bytes of its request taken by the normal path."""
        self._outgoing = Awaited(self, coming, data)
        self._outgoing.begin()

    def _over(self, reply: Reply) -> None:
        line, asked = reply.line, reply.asked
        if self._client is None:
            self._client = getattr(self.transport.getPeer(), "host", "-")
        self.served.add(
            Served(time.time(), self._client, line.method, line.path, reply.status, reply.size, asked.agent)
        )
        if asked.close:
            self.persistent = False
            self.loseConnection()

    def sent(self, reply: Reply, held: bytes) -> None:
        """A file has gone out; go on with what the client sent meanwhile."""
        self._outgoing = None
        self._over(reply)
        if held:
            self.dataReceived(held)

    def abandon(self) -> None:
        """The client left."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is not None:
            outgoing.abandon()


class Awaited:
    """An answer that somebody else was asked for; the client waits as long as on the normal path."""

    def __init__(self, channel: Answering, coming: Deferred[Reply | None], data: bytes) -> None:
        self._channel = channel
        self._coming = coming
        self._data = data  # of the request
        self._held = bytearray()
        self._patience: float | None = None  # seconds for which the channel waits for a request

    def begin(self) -> None:
        """Wait."""
        self._patience = self._channel.setTimeout(None)
        self._coming.addBoth(self._came)
        self._coming.addErrback(lambda failure: log.failure("an answer could not be written", failure))

    def hold(self, data: bytes) -> None:
        """Keep what the client sends before its answer is out."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self._channel.transport.pauseProducing()

    def _came(self, reply: Reply | Failure | None) -> None:
        channel = self._channel
        if channel._outgoing is not self:
            return  # the client left
        channel._outgoing = None
        channel.setTimeout(self._patience)
        if len(self._held) > MOST_HELD:
            channel.transport.resumeProducing()
        if isinstance(reply, Reply):
            channel.send(reply)
        else:
            channel.decline(self._data, _error(reply))
        if self._held:
            channel.dataReceived(bytes(self._held))

    def abandon(self) -> None:
        """The client left."""
        self._coming.cancel()


def _error(came: Failure | None) -> PypicacheError | None:
    if came is None:
        return None
    if isinstance(came.value, PypicacheError):
        return came.value
    log.failure("a question failed, and is asked again", came)
    return None


@implementer(IPullProducer)
class Outgoing:
    """A part of a file on its way to a client, at the client's pace.

    ::

        reactor: socket writable --> transport.doWrite --> its buffer is empty --> resumeProducing --> sendfile
    """

    def __init__(self, channel: Answering, reply: Reply, part: Part, plain: bool) -> None:
        self._channel = channel
        self._reply = reply
        self._part = part
        self._plain = plain
        self._held = bytearray()
        self._patience: float | None = None  # seconds for which the channel waits for a request

    def begin(self) -> None:
        """Take the place of the channel as the one who produces."""
        transport = self._channel.transport
        self._patience = self._channel.setTimeout(None)
        transport.unregisterProducer()
        transport.registerProducer(self, False)

    def hold(self, data: bytes) -> None:
        """Keep what the client sends before its answer is out."""
        self._held += data
        if len(self._held) > MOST_HELD:
            self._channel.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client takes more."""
        part, transport = self._part, self._channel.transport
        try:
            if not self._plain:
                part.at += self._write(part)
            elif transport.dataBuffer or transport._tempDataBuffer:
                return  # the head of the answer goes first
            else:
                part.at += hand_over(transport.fileno(), part.descriptor, part.at, part.end - part.at)
                if part.at < part.end:
                    transport.startWriting()
        except Broken as error:
            log.warn("{uri}: cut off: {why}", uri=self._reply.line.uri, why=str(error))
            transport.abortConnection()
            return
        if part.at >= part.end:
            self._finish()

    def _write(self, part: Part) -> int:
        piece = os.pread(part.descriptor, min(PIECE, part.end - part.at), part.at)
        if not piece:
            raise Broken("the file is shorter than it was")
        self._channel.transport.write(piece)
        return len(piece)

    def _finish(self) -> None:
        self._part.close()
        transport = self._channel.transport
        transport.unregisterProducer()
        transport.registerProducer(self._channel, True)
        self._channel.resumeProducing()  # it may have been told to pause by what was written before
        self._channel.setTimeout(self._patience)
        self._channel.sent(self._reply, bytes(self._held))

    def stopProducing(self) -> None:
        """The connection is gone; it tells the channel."""

    def abandon(self) -> None:
        """The client left before the end."""
        self._part.close()
