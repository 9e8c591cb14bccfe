"""Hands files to the kernel: ``sendfile`` on plain sockets, driven by the transport's own readiness to write."""

from __future__ import annotations

import os

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.web.http import HTTPChannel
from twisted.web.server import Request
from zope.interface import implementer

from pypicache.core.errors import Broken
from pypicache.interfaces import IReader

PIECE = 128 * 2**10  # bytes of what is not in a file
AT_ONCE = 2 * 2**20  # bytes handed to the kernel before others have their turn


def plain_socket(request: Request) -> tcp.Connection | None:
    """The socket of a request whose bytes need nothing done to them on their way; ``None`` for TLS and HTTP/2."""
    channel = request.channel
    transport = channel.transport if isinstance(channel, HTTPChannel) else None
    return transport if isinstance(transport, tcp.Connection) and not transport.TLS else None


@implementer(IPullProducer)
class _Turn:
    """Fires when the transport has nothing left to write and its socket takes more.

    ::

        reactor: socket writable --> transport.doWrite --> its buffer is empty --> resumeProducing --> coroutine
    """

    def __init__(self, transport: tcp.Connection) -> None:
        self._transport = transport
        self._waiting: Deferred[None] | None = None

    def resumeProducing(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; the request's own end cancels whoever waits."""

    def come(self) -> Deferred[None]:
        """Wait for the next turn."""
        self._waiting = Deferred()
        self._transport.startWriting()
        return self._waiting


async def send_file(request: Request, transport: tcp.Connection, reader: IReader) -> None:
    """Send what a reader gives, after the head of the answer, without taking it into the process where it is in a file.

    The length of the answer must be in its head.

    :raises Broken: the reader cannot give its bytes to their end.
    """
    request.write(b"")
    turn = _Turn(transport)
    transport.unregisterProducer()
    transport.registerProducer(turn, False)
    try:
        await turn.come()
        while True:
            await reader.read(0)
            part = reader.spooled()
            if part is not None:
                sent = hand_over(transport.fileno(), *part)
                reader.advance(sent)
                request.sentLength += sent
                if sent == part[2]:
                    continue  # that was all there is, so the socket is not full and nobody is kept waiting
            else:
                piece = await reader.read(PIECE)
                if not piece:
                    return
                request.write(piece)
            await turn.come()
    finally:
        transport.unregisterProducer()
        if transport.connected:
            transport.registerProducer(request.channel, True)


def hand_over(socket: int, descriptor: int, first: int, count: int) -> int:
    """Hand bytes of a file to a socket, as many as it takes; the answer is how many.

    :raises Broken: the file ends before them.
    """
    sent = 0
    try:
        while sent < min(count, AT_ONCE):
            now = os.sendfile(socket, descriptor, first + sent, min(count, AT_ONCE) - sent)
            if not now:
                raise Broken("the file is shorter than it was")
            sent += now
    except (BlockingIOError, ConnectionError):
        pass  # the socket is full, or gone; the transport finds out which
    return sent
