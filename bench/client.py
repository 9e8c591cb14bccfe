"""The clients: one that looks closely at one answer, one that reads as many as it can, and wrk, uv and pip."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from math import isnan
from urllib.parse import urljoin, urlsplit

import orjson
import zstandard
from attrs import define, field, frozen

from bench.material import JSON
from bench.processes import Failed

UV_ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
_CHUNK = 1 << 20


@frozen
class Reply:
    """One answer, with the seconds that it took from sending the request on an open connection."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    first_byte: float
    total: float

    def plain(self) -> bytes:
        """The body without its coding; the head of gzip may contain the time."""
        match self.headers.get("content-encoding"):
            case "gzip":
                return gzip.decompress(self.body)
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(self.body)
        return self.body


def get(url: str, headers: Mapping[str, str] | None = None, limit: float = 120) -> Reply:
    """Ask once, on a new connection.

    :raises OSError: there is nobody, or the connection broke.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit)
    try:
        connection.connect()
        begun = time.perf_counter()
        connection.request("GET", parts.path, headers={"Accept": UV_ACCEPT, **(headers or {})})
        answer = connection.getresponse()
        chunks = [answer.read1(_CHUNK)]
        first = time.perf_counter() - begun
        while chunks[-1]:
            chunks.append(answer.read1(_CHUNK))
        total = time.perf_counter() - begun
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {error!r}") from error
    finally:
        connection.close()
    return Reply(
        answer.status, {name.lower(): value for name, value in answer.getheaders()}, b"".join(chunks), first, total
    )


def files(index: str, project: str) -> dict[str, tuple[str, str]]:
    """The files that an index lists for a project: name -> absolute URL, SHA-256 in hex or nothing.

    :raises Failed: there is no such page, or it is not JSON.
    """
    page = urljoin(index, f"{project}/")
    reply = get(page)
    kind = reply.headers.get("content-type", "")
    if reply.status != 200 or "json" not in kind:
        raise Failed(f"{page}: {reply.status} {kind}")
    return {
        file["filename"]: (urljoin(page, file["url"]).partition("#")[0], file["hashes"].get("sha256", ""))
        for file in orjson.loads(reply.body)["files"]
    }


@define
class Herd:
    """Clients that ask for one file at the same moment and read it as fast as it comes, in one thread."""

    url: str
    size: int  # bytes of the file
    sha256: str
    clients: int
    checked: int = 0  # so many of the clients look at the digest as well; the others count bytes
    errors: int = field(default=0, init=False)
    members: list[_Member] = field(factory=list, init=False)

    def run(self, limit: float = 300) -> float:
        """Seconds until the last client has everything.

        :param limit: seconds after which the rest is given up and counted as errors.
        """
        parts = urlsplit(self.url)
        request = (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n"
        )
        with selectors.DefaultSelector() as waiting:
            for number in range(self.clients):
                connection = socket.create_connection((parts.hostname or "", parts.port or 80))
                member = _Member(connection, hashlib.sha256() if number < self.checked else None)
                self.members.append(member)
                waiting.register(connection, selectors.EVENT_READ, member)
            begun = time.perf_counter()
            for member in self.members:
                member.connection.sendall(request.encode())
                member.connection.setblocking(False)
            buffer = memoryview(bytearray(_CHUNK))
            while waiting.get_map() and time.perf_counter() - begun < limit:
                for key, _ in waiting.select(1):
                    if not key.data.read(buffer):
                        waiting.unregister(key.data.connection)
            taken = time.perf_counter() - begun
        for member in self.members:
            self.errors += not member.complete(self.size, self.sha256)
            member.connection.close()
        return taken

    def complaint(self) -> str:
        """What the first client that went away without the file was told."""
        for member in self.members:
            if not member.complete(self.size, self.sha256):
                status = member.head.split(b"\r\n")[0].decode("latin-1") or "no answer"
                return f"{status}, {member.received:,} bytes"
        return ""


@define(eq=False)
class _Member:
    """One client of a herd."""

    connection: socket.socket
    digest: hashlib._Hash | None
    head: bytes = b""  # of the answer, until the blank line
    length: int | None = None  # of the body, as the head says
    received: int = 0

    def read(self, buffer: memoryview) -> bool:
        """Take what is there; tell whether there may be more."""
        try:
            count = self.connection.recv_into(buffer)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if count and self.length is None:
            return self._read_head(bytes(buffer[:count]))
        self._take(buffer[:count])
        return count > 0 and self.received < (self.length or 0)

    def _read_head(self, content: bytes) -> bool:
        self.head += content
        head, blank, body = self.head.partition(b"\r\n\r\n")
        if not blank:
            return True
        self.head = head
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        self.length = int(length[1]) if length and head.split(b" ")[1] == b"200" else 0
        self._take(memoryview(body))
        return self.received < self.length

    def _take(self, content: memoryview) -> None:
        self.received += len(content)
        if self.digest is not None:
            self.digest.update(content)

    def complete(self, size: int, sha256: str) -> bool:
        """Tell whether the whole file came, and if this client looked, the right one."""
        return self.length == self.received == size and (self.digest is None or self.digest.hexdigest() == sha256)


@frozen
class Rate:
    """What wrk measured."""

    per_second: float
    p50: float  # milliseconds
    p99: float  # milliseconds
    errors: int  # answers outside 2xx and 3xx, and broken connections

    def latency(self) -> str:
        """The percentiles; wrk has none where hardly anything was answered."""
        return "" if isnan(self.p99) else f"p50 {self.p50:.3g} ms, p99 {self.p99:.3g} ms"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read the output of ``wrk --latency``.

        :raises Failed: it is not that.
        """
        rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
        if rate is None:
            raise Failed(f"wrk said: {text.strip()[-200:]}")
        errors = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
        for line in re.findall(r"Socket errors: (.*)", text):
            errors += sum(map(int, re.findall(r"\d+", line)))
        return cls(float(rate[1]), _percentile(text, 50), _percentile(text, 99), errors)


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def _percentile(text: str, percent: int) -> float:
    """A line of wrk's latency distribution, in milliseconds; not a number if there is none."""
    found = re.search(rf"^\s+{percent}(?:\.0+)?%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")


def set_delay(upstream: str, seconds: float) -> None:
    """Let the upstream wait before each answer."""
    with suppress(http.client.HTTPException):
        get(urljoin(upstream, f"/+delay/{seconds:g}"))
