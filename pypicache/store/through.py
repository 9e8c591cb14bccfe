"""Bytes that go from the upstream to one client without being kept."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from pypicache.core.errors import Broken
from pypicache.interfaces import IReader
from pypicache.store.checking import Check
from pypicache.tasks import Waiters
from pypicache.upstream.body import Answer

HIGH = 256 * 2**10  # bytes waiting for the client; at this the upstream is told to wait
LOW = 64 * 2**10  # bytes; at this it is told to go on


@implementer(IReader)
class Through:
    """Reads an upstream's answer at the pace of one client, in flat memory.

    :param skip: bytes at the beginning of the answer that the client does not want (an upstream without ranges).
    :param end: bytes after ``skip`` that it wants; ``None`` for all of them.
    :param check: judges the bytes of a whole file. The last byte is held back until it has, so that nobody completes a
        file that is not what was promised.
    :param length: bytes of the whole file, if that is known; for ``check``.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        skip: int = 0,
        end: int | None = None,
        check: Check | None = None,
        length: int | None = None,
    ) -> None:
        self._answer = answer
        self._skip = skip
        self._left = end
        self._check = check
        self._length = length
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._held = False
        self._change = Waiters()
        self._over: bool | Failure | None = None
        self._ended: Deferred[None] = answer.pump(self._take).addBoth(self._end)

    def _take(self, data: bytes) -> None:
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip -= gone
            data = data[gone:]
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if self._check is not None:
            self._check.take(data, self._length)
        if data:
            self._pieces.append(data)
            self._waiting += len(data)
            if self._waiting > HIGH and not self._held:
                self._held = True
                self._answer.hold()
        if self._left == 0 and self._over is None:
            self._over = True
            self._answer.abort()
        self._change.tell()

    def _end(self, result: bool | Failure) -> None:
        if self._over is None:
            self._over = result
            if isinstance(result, Failure):
                pass
            elif not result and (self._check is None or not self._check.decides) and self._left is None:
                self._over = Failure(Broken("nothing tells where the upstream's file ends"))
            elif self._left:
                self._over = Failure(Broken(f"the upstream sent {self._left} bytes less than were asked for"))
            elif self._check is not None:
                try:
                    self._check.judge(self._length)
                except Broken:
                    self._over = Failure()
        self._change.tell()

    async def read(self, limit: int) -> bytes:
        while True:
            if isinstance(self._over, Failure):
                self._over.raiseException()
            reserve = 1 if self._check is not None and self._over is None else 0
            if self._waiting > reserve:
                return self._give(min(limit, self._waiting - reserve))
            if self._over is not None:
                return b""
            if self._held:
                self._held = False
                self._answer.go_on()
                continue
            await self._change.wait()

    def spooled(self) -> tuple[int, int, int] | None:
        return None

    def advance(self, count: int) -> None:
        raise AssertionError("nothing of this is in a file")

    def _give(self, most: int) -> bytes:
        piece = self._pieces.popleft()
        if len(piece) > most:
            self._pieces.appendleft(piece[most:])
            piece = piece[:most]
        self._waiting -= len(piece)
        if self._held and self._waiting <= LOW:
            self._held = False
            self._answer.go_on()
        return piece

    def close(self) -> None:
        self._pieces.clear()
        self._waiting = 0
        if self._over is None:
            self._over = True
            self._answer.abort()
