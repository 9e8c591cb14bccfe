"""Many clients at once in one process; plain sockets, so that what is measured is the server."""

from __future__ import annotations

import asyncio
import hashlib
import resource
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from attrs import define, field

PATIENCE = 60  # seconds for one answer


@define(kw_only=True)
class Visit:
    """What one client of the crowd saw.

    :ivar error: the kind of a connection error, if there was one.
    """

    url: str
    status: int | None = None
    promised: int | None = None  # Content-Length
    got: int = 0  # bytes of the body
    digest: str = ""  # sha256 of the body
    error: str | None = None
    headers: dict[str, str] = field(factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the body came to its promised end."""
        return self.error is None and self.promised is not None and self.got == self.promised


@define
class Crowd:
    """Clients that all connect at once and then ask, one URL each."""

    urls: Sequence[str]
    accept: str = "*/*"
    progress: Callable[[int], None] = lambda total: None
    _total: int = 0

    def run(self) -> list[Visit]:
        """Visit all URLs at the same time, each over a connection of its own."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return asyncio.run(self._all())

    async def _all(self) -> list[Visit]:
        return await asyncio.gather(*(self._visit(url) for url in self.urls))

    async def _visit(self, url: str) -> Visit:
        visit = Visit(url=url)
        parts = urlsplit(url)
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError as error:
            visit.error = f"connecting: {error}"
            return visit
        try:
            request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: {self.accept}\r\n"
            writer.write(f"{request}Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(PATIENCE):
                await self._read(reader, visit)
        except (OSError, asyncio.IncompleteReadError) as error:
            visit.error = f"reading: {error!r}"
        finally:
            writer.close()
        return visit

    async def _read(self, reader: asyncio.StreamReader, visit: Visit) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        visit.status = int(first.split()[1])
        visit.headers = {
            key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines if line)
        }
        visit.promised = int(visit.headers["content-length"]) if "content-length" in visit.headers else None
        digest = hashlib.sha256()
        while visit.got != visit.promised and (piece := await reader.read(1 << 18)):
            visit.got += len(piece)
            self._total += len(piece)
            digest.update(piece)
            self.progress(self._total)
        visit.digest = digest.hexdigest()
