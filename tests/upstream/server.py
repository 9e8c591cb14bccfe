"""The server: which answer belongs to which path."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

from attrs import define, field

from tests.upstream.faults import Panel, Rule, Switches
from tests.upstream.shelf import (
    HTML_TYPE,
    JSON_TYPE,
    Listed,
    Shelf,
    invented,
    list_html,
    list_json,
    page_html,
    page_json,
)
from tests.upstream.wire import LOGGED, Answer, Asked, Cut, Sender, Span


@define
class Upstream:
    """An index on two ports.

    :ivar pages: project name -> (content type, text) of pages that are sent as they are.
    :ivar log: one entry for each request, control requests excepted.
    """

    shelf: Shelf
    panel: Panel = field(factory=Panel)
    pages: dict[str, tuple[str, str]] = field(factory=dict)
    log: list[dict[str, Any]] = field(factory=list)
    released: asyncio.Event = field(factory=asyncio.Event)
    hosts: tuple[str, str] = ("", "")

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, elsewhere: bool) -> None:
        """Serve one connection until the client, or a switch, ends it.

        :param elsewhere: the connection came in on the second port.
        """
        try:
            while asked := await Asked.read(reader):
                if asked.path in {"/+control", "/+log"}:
                    entry: dict[str, Any] = {"sent": 0}
                    await Sender(writer, entry, Switches(), self.released).send(asked, self.command(asked))
                    continue
                entry = {"method": asked.method, "path": asked.path, "status": None, "sent": 0, "done": False}
                entry |= {key.replace("-", "_"): asked.headers.get(key) for key in LOGGED}
                self.log.append(entry)
                switches = self.panel.switches(asked.method, asked.path)
                if switches.first_byte:
                    await asyncio.sleep(switches.first_byte)
                answer = self.answer(asked, switches, elsewhere)
                entry["status"] = answer.status
                await Sender(writer, entry, switches, self.released).send(asked, answer)
                entry["done"] = True
                if asked.headers.get("connection", "").lower() == "close":
                    return
        except (Cut, ConnectionError, asyncio.IncompleteReadError):
            pass  # asked for, or the client left
        finally:
            writer.close()

    def command(self, asked: Asked) -> Answer:
        """A control request, or the log."""
        if asked.path == "/+log":
            return Answer(body=json.dumps(self.log).encode(), headers={"Content-Type": "application/json"})
        try:
            self.control(json.loads(asked.body))
        except (ValueError, TypeError, KeyError) as error:
            return Answer(status=400, body=f"{error}\n".encode())
        return Answer(body=b"{}", headers={"Content-Type": "application/json"})

    def control(self, order: dict[str, Any]) -> None:
        """Carry out a control request.

        Its keys, in the order in which they are obeyed: ``reset`` (everything as at the start), ``clear_log``,
        ``rules`` (instead of the former ones), ``add`` (more rules), ``files`` (file name -> keys of its entry),
        ``pages`` (project -> [content type, text]), ``synthetic`` (files on each ``load-...`` page), ``release``.
        """
        if order.get("reset"):
            self.panel.rules.clear()
            self.pages.clear()
            self.shelf.said.clear()
            self.released.set()  # whoever is held must not hang for ever
            self.released = asyncio.Event()
        if order.get("clear_log") or order.get("reset"):
            self.log.clear()
        if "rules" in order:
            self.panel.rules = [Rule.from_json(rule) for rule in order["rules"]]
            if self.released.is_set():
                self.released = asyncio.Event()
        self.panel.rules += [Rule.from_json(rule) for rule in order.get("add", [])]
        self.shelf.said.update(order.get("files", {}))
        self.pages.update({name: (kind, text) for name, (kind, text) in order.get("pages", {}).items()})
        self.shelf.synthetic = order.get("synthetic", self.shelf.synthetic)
        if order.get("release"):
            self.released.set()

    def answer(self, asked: Asked, switches: Switches, elsewhere: bool) -> Answer:
        """The answer to a request.

        :param elsewhere: the request came in on the second port.
        """
        if switches.status is not None:
            headers = {"Retry-After": switches.retry_after} if switches.retry_after else {}
            return Answer(status=switches.status, headers=headers, body=b"as a test wants it\n")
        if switches.auth is not None:
            wanted = "Basic " + base64.b64encode(switches.auth.encode()).decode()
            if asked.headers.get("authorization") != wanted:
                return Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="upstream"'}, body=b"who?\n")
        if switches.redirect and not elsewhere:
            return Answer(status=302, headers={"Location": self.hosts[1] + asked.path})
        if match := re.fullmatch(r"/simple/(?:([^/]+)/)?", asked.path):
            return self.page(match[1], asked, switches)
        if match := re.fullmatch(r"/files/([^/]+)", asked.path):
            return self.file(match[1], asked, switches)
        if match := re.fullmatch(r"/integrity/[^/]+/[^/]+/([^/]+)/provenance", asked.path):
            body = json.dumps({"version": 1, "attestation_bundles": [], "of": match[1]}).encode()
            return Answer(body=body, headers={"Content-Type": "application/vnd.pypi.integrity.v1+json"})
        return missing()

    def page(self, project: str | None, asked: Asked, switches: Switches) -> Answer:
        """The page of a project, or the list of all of them (``None``)."""
        as_json = JSON_TYPE in asked.headers.get("accept", "") and not switches.html
        kind = JSON_TYPE if as_json else HTML_TYPE
        if project is None:
            names = self.shelf.projects()
            body = list_json(names, switches.serial) if as_json else list_html(names)
        elif project in self.pages:
            kind, text = self.pages[project]
            body = text.encode()
        else:
            entries = self.shelf.entries(project, switches, self.hosts)
            if entries is None:
                return missing()
            if as_json:
                body = page_json(project, entries, switches)
            else:
                body = page_html(project, entries, switches, self.hosts[0])
        headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding", "Cache-Control": "max-age=600, public"}
        if switches.serial is not None:
            headers["X-PyPI-Last-Serial"] = str(switches.serial)
        if strange := strange_page(project or "", body, headers, switches, self.hosts[0]):
            return strange
        if tag := tagged(hashlib.sha256(body).hexdigest()[:32], switches):
            headers["ETag"] = tag
            if tag in asked.headers.get("if-none-match", ""):
                return Answer(status=304, headers=headers)
        if switches.gzip and "gzip" in asked.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1, mtime=0)
        return Answer(headers=headers, body=body)

    def file(self, name: str, asked: Asked, switches: Switches) -> Answer:
        """A distribution file, or the metadata that lies beside it."""
        files = self.shelf.files()
        if name.endswith(".metadata"):
            owner = files.get(name.removesuffix(".metadata"))
            if owner is None or owner.metadata is None or not switches.serve_metadata:
                return missing()
            return Answer(body=owner.metadata, headers={"Content-Type": "application/octet-stream"})
        listed = files.get(name)
        if listed is None:
            return missing()
        headers = {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=365000000, immutable, public"}
        if tag := tagged(listed.digests["md5"], switches):
            headers["ETag"] = tag
            if tag in asked.headers.get("if-none-match", ""):
                return Answer(status=304, headers=headers)
        if switches.last_modified:
            headers["Last-Modified"] = formatdate(listed.path.stat().st_mtime, usegmt=True)
        first, end, status = 0, listed.size, 200
        if switches.ranges:
            headers["Accept-Ranges"] = "bytes"
            if span := asked_span(asked, listed, headers):
                first, end = span
                if first >= end:
                    return Answer(status=416, headers={"Content-Range": f"bytes */{listed.size}"})
                status = 206
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{listed.size}"
        wrong = listed.size // 2 if switches.corrupt else None
        return Answer(status=status, headers=headers, body=Span(path=listed.path, first=first, end=end, wrong=wrong))


def missing() -> Answer:
    """There is no such thing."""
    return Answer(status=404, headers={"Content-Type": "text/plain"}, body=b"not here\n")


def tagged(value: str, switches: Switches) -> str | None:
    """An entity tag of the kind that the switches want."""
    return {"strong": f'"{value}"', "weak": f'W/"{value}"', "none": None}[switches.etag]


def asked_span(asked: Asked, listed: Listed, headers: dict[str, str]) -> tuple[int, int] | None:
    """The span that ``Range`` and ``If-Range`` ask for, RFC 9110 sections 13.1.5 and 14.2; ``None``: all."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    condition = asked.headers.get("if-range")
    if condition is not None:
        strong = condition == headers.get("ETag") and not condition.startswith("W/")
        if not strong and condition != headers.get("Last-Modified"):
            return None
    if not match[1]:
        return max(0, listed.size - int(match[2])), listed.size
    return int(match[1]), min(listed.size, int(match[2]) + 1 if match[2] else listed.size)


def strange_page(project: str, body: bytes, headers: dict[str, str], switches: Switches, host: str) -> Answer | None:
    """A page that hurts, if one is wanted."""
    if switches.bomb:
        return Answer(headers=headers | {"Content-Encoding": "gzip"}, body=squeezed(body, switches.bomb))
    if switches.endless:
        return Answer(headers=headers, body=endless(project, host))
    if switches.padding:
        blanks = (b" " * min(1 << 20, switches.padding - at) for at in range(0, switches.padding, 1 << 20))

        def padded() -> Iterator[bytes]:
            yield body[:-1]
            yield from blanks
            yield body[-1:]

        return Answer(headers=headers, body=padded(), length=len(body) + switches.padding)
    return None


@lru_cache
def squeezed(body: bytes, blanks: int) -> bytes:
    """A page with very many blanks before its end, gzipped."""
    packer = zlib.compressobj(9, wbits=31)
    packed = [packer.compress(body[:-1])]
    packed += [packer.compress(b" " * min(1 << 20, blanks - at)) for at in range(0, blanks, 1 << 20)]
    return b"".join([*packed, packer.compress(body[-1:]), packer.flush()])


def endless(project: str, host: str) -> Iterator[bytes]:
    """A JSON page whose list of files has no end."""
    yield json.dumps({"meta": {"api-version": "1.0"}, "name": project}).encode()[:-1] + b', "files": ['
    number = 0
    while True:
        block = [json.dumps(invented(project, number + step, host)) for step in range(500)]
        yield (", ".join(block) + ", ").encode()
        number += 500


async def listen(upstream: Upstream, port: int, other_port: int) -> tuple[asyncio.Server, asyncio.Server]:
    """Open both ports (0: any free one) on the loopback interface."""
    servers = [
        await asyncio.start_server(
            partial(upstream.connection, elsewhere=elsewhere), "127.0.0.1", number, backlog=4096, limit=1 << 20
        )
        for number, elsewhere in ((port, False), (other_port, True))
    ]
    first, second = (f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
    upstream.hosts = (first, second)
    return servers[0], servers[1]
