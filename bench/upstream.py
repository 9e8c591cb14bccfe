"""The upstream of all measured servers: static files, an optional delay, and a log that is counted.

Started as a process of its own: ``python -m bench.upstream ROOT PORT LOG``. ``GET /+delay/0.05`` sets the delay before
each answer, in seconds.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import signal
import sys
from pathlib import Path
from typing import TextIO

from attrs import define, field, frozen

from bench.material import JSON

_SMALL = 1 << 20  # bytes; files up to here are kept in memory, larger ones go through sendfile


@frozen
class Answer:
    """What a path is answered with; ``body`` is None for a large file."""

    path: Path
    size: int
    content_type: str
    etag: str
    body: bytes | None
    zipped: bytes | None = None  # the body in gzip, pages only


@define
class Upstream:
    """An HTTP/1.1 server for one tree of :class:`bench.material.Material`."""

    root: Path
    log: TextIO
    delay: float = 0.0  # seconds before each answer
    known: dict[str, Answer] = field(factory=dict)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                if target.startswith("/+delay/"):
                    self.delay = float(target.rpartition("/")[2])
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.answer(method, target, headers, writer)
                if headers.get("connection", "").lower() == "close":
                    return
        except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError):
            return
        finally:
            writer.close()

    async def answer(self, method: str, target: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        """Answer one request and note it in the log: method, path, status."""
        answer = self.find(target, JSON in headers.get("accept", ""))
        status = 404 if answer is None else 304 if headers.get("if-none-match") == answer.etag else 200
        self.log.write(f"{method} {target} {status}\n")
        self.log.flush()
        if answer is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        zipped = answer.zipped is not None and "gzip" in headers.get("accept-encoding", "")
        body = answer.zipped if zipped else answer.body
        lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Modified'}", f"ETag: {answer.etag}"]
        if answer.zipped is not None:
            lines += ["Vary: Accept, Accept-Encoding", "Cache-Control: max-age=600, public"]
        else:
            lines += ["Cache-Control: max-age=365000000, immutable, public"]
        if status == 200:
            lines += [f"Content-Type: {answer.content_type}"]
            lines += [f"Content-Length: {answer.size if body is None else len(body)}"]
            lines += ["Content-Encoding: gzip"] if zipped else []
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if status == 304 or method == "HEAD":
            writer.write(head)
        elif body is not None:
            writer.write(head + body)
        else:
            writer.write(head)
            with answer.path.open("rb") as content:
                await asyncio.get_running_loop().sendfile(writer.transport, content)
        await writer.drain()

    def read_all(self) -> None:
        """Read everything before the first request, so that nobody pays for it."""
        for path in self.root.rglob("*.*"):
            if path.is_file():
                page = path.name in {"index.json", "index.html"}
                self.known[str(path)] = _read(path, page, path.name == "index.json")

    def find(self, target: str, as_json: bool) -> Answer | None:
        """The answer for a path."""
        path = self.root / target.lstrip("/")
        if target.startswith("/simple/"):
            path /= "index.json" if as_json else "index.html"
        return self.known.get(str(path))


def _read(path: Path, page: bool, as_json: bool) -> Answer:
    size = path.stat().st_size
    body = path.read_bytes() if size <= _SMALL or page else None
    digest = hashlib.sha256(str(path).encode() if body is None else body).hexdigest()
    content_type = (JSON if as_json else "text/html; charset=utf-8") if page else "application/octet-stream"
    zipped = gzip.compress(body or b"", 6) if page else None
    return Answer(path, size, content_type, f'"{digest[:32]}"', body, zipped)


def requests(log: str, path: str, method: str = "GET") -> int:
    """How often a log says that the bytes of ``path`` were asked for; answers of 304 count too."""
    return sum(line.split(" ")[:2] == [method, path] for line in log.splitlines())


async def serve(root: Path, port: int, log: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with log.open("a") as lines:
        upstream = Upstream(root, lines)
        upstream.read_all()
        server = await asyncio.start_server(upstream.talk, "127.0.0.1", port, backlog=1024, limit=1 << 18)
        await stop.wait()
        server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
