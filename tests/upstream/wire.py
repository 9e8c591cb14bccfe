"""HTTP/1.1 as far as the server needs it: requests in, answers out, with the switches that act on bytes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import define, field, frozen

from tests.upstream.faults import Switches

CHUNK = 256 * 1024
NEVER = sys.maxsize
LOGGED = ("range", "if-range", "if-none-match", "accept", "accept-encoding", "authorization", "user-agent", "host")


@frozen(kw_only=True)
class Asked:
    """One request; header names are lower case."""

    method: str
    path: str  # decoded, without the query
    headers: dict[str, str]
    body: bytes

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Asked | None:
        """The next request of a connection; ``None`` when the client is done."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return cls(method=method, path=unquote(target.partition("?")[0]), headers=headers, body=body)


@frozen(kw_only=True)
class Span:
    """A part of a file that is sent as a body."""

    path: Path
    first: int
    end: int
    wrong: int | None = None  # position in the file of a byte that is sent wrong


@define(kw_only=True)
class Answer:
    """What is sent: a body of known bytes, a span of a file, or pieces without a known length."""

    status: int = 200
    headers: dict[str, str] = field(factory=dict)
    body: bytes | Span | Iterator[bytes] = b""
    length: int | None = None  # of an iterator, where it is known

    @property
    def size(self) -> int | None:
        """Bytes of the body; ``None``: goes out in chunks."""
        if isinstance(self.body, bytes):
            return len(self.body)
        if isinstance(self.body, Span):
            return self.body.end - self.body.first
        return self.length


class Cut(Exception):
    """The connection is to be closed in the middle of a body."""


@define
class Sender:
    """Writes one answer to one connection.

    :ivar entry: the log's entry; its ``sent`` counts the bytes of the body that were handed to the kernel.
    :ivar released: set when held bodies may go on.
    """

    writer: asyncio.StreamWriter
    entry: dict[str, Any]
    switches: Switches
    released: asyncio.Event

    async def send(self, asked: Asked, answer: Answer) -> None:
        """Send an answer to its end.

        :raises Cut: the switches want the connection closed.
        :raises ConnectionError: the client left.
        """
        size = None if self.switches.chunked else answer.size
        headers = {"Date": formatdate(usegmt=True), **answer.headers}
        if answer.status != HTTPStatus.NOT_MODIFIED:
            headers |= {"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)}
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        await self.writer.drain()
        if asked.method == "HEAD" or answer.status == HTTPStatus.NOT_MODIFIED:
            return
        if (
            size is not None
            and isinstance(answer.body, Span)
            and answer.body.wrong is None
            and self.switches.rate is None
        ):
            await self.pour(answer.body)
            return
        async for piece in self.paced(pieces(answer.body), answer.size):
            self.writer.write(piece if size is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()
            self.entry["sent"] += len(piece)
        if size is None:
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()

    def stops(self, size: int | None) -> tuple[int, int]:
        """After how many bytes to hold, and after how many to cut; ``NEVER`` where neither is wanted."""

        def after(per_cent: float | None) -> int:
            return NEVER if per_cent is None or size is None else int(size * per_cent / 100)

        return after(self.switches.hold), after(self.switches.cut)

    async def pour(self, span: Span) -> None:
        """Send a file straight from the kernel's cache."""
        size = span.end - span.first
        hold, cut = self.stops(size)
        loop = asyncio.get_running_loop()
        with span.path.open("rb") as file:
            done = 0
            while True:
                if done >= hold:
                    await self.released.wait()
                    hold = NEVER
                if done >= cut:
                    raise Cut
                if done == size:
                    return
                count = min(size, done + 4 * CHUNK, *(stop for stop in (hold, cut) if stop > done)) - done
                await loop.sendfile(self.writer.transport, file, span.first + done, count, fallback=False)
                done += count
                self.entry["sent"] += count

    async def paced(self, parts: Iterator[bytes], size: int | None) -> AsyncIterator[bytes]:
        """The same bytes, with the pauses and the end that the switches want."""
        hold, cut = self.stops(size)
        rate = self.switches.rate
        done = 0
        if hold == 0:
            await self.released.wait()
            hold = NEVER
        if cut == 0:
            raise Cut
        for part in parts:
            rest = memoryview(part)
            while rest:
                step = len(rest) if rate is None else max(1, min(len(rest), rate // 20))
                step = min(step, *(stop - done for stop in (hold, cut) if stop > done))
                yield bytes(rest[:step])
                rest = rest[step:]
                done += step
                if rate is not None:
                    await asyncio.sleep(step / rate)
                if done >= hold:
                    await self.released.wait()
                    hold = NEVER
                if done >= cut:
                    raise Cut


def pieces(body: bytes | Span | Iterator[bytes]) -> Iterator[bytes]:
    """A body piece by piece."""
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, Span):
        with body.path.open("rb") as file:
            file.seek(body.first)
            at = body.first
            while at < body.end:
                piece = bytearray(file.read(min(CHUNK, body.end - at)))
                if body.wrong is not None and at <= body.wrong < at + len(piece):
                    piece[body.wrong - at] ^= 0xFF
                at += len(piece)
                yield bytes(piece)
    else:
        yield from body
