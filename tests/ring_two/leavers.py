"""Clients that leave in the middle of an answer, many of them, over plain sockets or TLS."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from attrs import define, field

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing breaks the connection off at once
CONNECTS = 10  # seconds that a client waits for a connection
WAITS = 0.2  # seconds that it waits for more bytes; an answer may be shorter than what it meant to read


@define
class Leavers:
    """Asks for one URL again and again, each time over a connection of its own, and leaves at a random point.

    Some ask for the head alone or for a part, some send a second request before they leave; half of them reset the
    connection, the others close it.

    :ivar left: how many have left.
    :ivar got: bytes that they have read together.
    """

    url: str
    seed: int = 7
    crowd: int = 4  # connections at the same time
    reads: Sequence[int] = (0, 0, 1, 200, 5_000, 70_000, 200_000)  # bytes after which a client leaves, at the earliest
    left: int = 0
    got: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    def run(self, count: int, seconds: float) -> None:
        """Let ``count`` clients come and go, fewer if they take longer than ``seconds``."""
        end = time.monotonic() + seconds
        share = count // self.crowd
        clients = [
            threading.Thread(target=self._many, args=(random.Random(f"{self.seed} {number}"), share, end))  # noqa: S311
            for number in range(self.crowd)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _many(self, chance: random.Random, count: int, end: float) -> None:
        left = got = 0
        while left < count and time.monotonic() < end:
            got += self._one(chance)
            left += 1
        with self._lock:
            self.left += left
            self.got += got

    def _one(self, chance: random.Random) -> int:
        """One client; the bytes that it has read."""
        wanted, got = chance.choice(self.reads), 0
        with suppress(OSError), self._connected() as connection:
            if chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            requests = [self._request(chance) for _ in range(chance.choice((1, 1, 1, 2)))]
            connection.sendall(b"".join(requests) if chance.random() < 0.5 else requests[0])
            connection.settimeout(WAITS)
            while got < wanted:
                piece = connection.recv(65_536)
                if not piece:
                    break
                got += len(piece)
        return got

    def _connected(self) -> socket.socket:
        parts = urlsplit(self.url)
        connection = socket.create_connection((parts.hostname, parts.port), CONNECTS)
        if parts.scheme == "http":
            return connection
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(connection, suppress_ragged_eofs=True)

    def _request(self, chance: random.Random) -> bytes:
        method = "HEAD" if chance.random() < 0.05 else "GET"
        fields = chance.choice(("", "", f"Range: bytes={chance.randrange(1_000_000)}-\r\n", "Range: bytes=-300000\r\n"))
        fields += chance.choice(("", "", "Connection: close\r\n", "Cookie: not=plain\r\n"))
        return f"{method} {urlsplit(self.url).path} HTTP/1.1\r\nHost: here\r\n{fields}\r\n".encode()
