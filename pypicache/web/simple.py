"""The simple API on the wire: negotiation, validators and caching of project pages and lists."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from pypicache.core.model import ProjectName
from pypicache.index.names import ListFormat, Listing
from pypicache.interfaces import IIndex
from pypicache.store.bodies import KeptReader
from pypicache.web.answers import NotAcceptable, answer, cache_control, header
from pypicache.web.conditions import not_modified
from pypicache.web.negotiation import Coding, Format, choose_coding, choose_format, wants_revalidation
from pypicache.web.pour import flow_out
from pypicache.web.ready import ReadyPages
from pypicache.web.said import VARY, freshness, page_fields

LIST_CODINGS = (Coding.GZIP, Coding.IDENTITY)  # the codings in which the project list is on disk


class SimplePages:
    """Answers for project pages and lists.

    :param client_max_age: seconds for which clients may take a page for fresh, counted from the moment at which the
        upstream confirmed it; 0 makes them ask every time.
    """

    def __init__(
        self,
        ready: ReadyPages,
        lists: Mapping[str, Listing],
        *,
        clock: IReactorTime,
        client_max_age: float,
    ) -> None:
        self._ready = ready
        self._lists = lists
        self._clock = clock
        self._client_max_age = client_max_age

    async def project(self, request: Request, index: IIndex, name: ProjectName, prefix: str) -> None:
        """The files of one project."""
        format_ = self._format(request)
        coding = choose_coding(header(request, "accept-encoding"))
        project = await index.project(name, refresh=_revalidate(request))
        ready = await self._ready.page(prefix, index.name, project, format_, coding)
        fresh = freshness(project.checked, project.stale, self._clock.seconds(), self._client_max_age)
        headers = page_fields(fresh, ready.etag, project.serial, project.stale)
        tags = header(request, "if-none-match")
        if tags is not None and not_modified(tags, ready.etag):
            answer(request, b"", None, code=304, headers=headers)
            return
        if coding is not Coding.IDENTITY:
            headers["content-encoding"] = coding.token.decode()
        answer(request, ready.body, format_.content_type, headers=headers)

    async def projects(self, request: Request, index: IIndex) -> None:
        """The names of all projects, streamed from disk."""
        format_ = self._format(request)
        compressed = choose_coding(header(request, "accept-encoding"), LIST_CODINGS) is Coding.GZIP
        found = await self._lists[index.name].file(_list_format(format_), compressed)
        fresh = freshness(found.checked, found.stale, self._clock.seconds(), self._client_max_age)
        etag = f"{found.etag}{format_.letter}"
        headers = page_fields(fresh, etag, None, found.stale)
        tags = header(request, "if-none-match")
        if tags is not None and not_modified(tags, etag):
            answer(request, b"", None, code=304, headers=headers)
            return
        if compressed:
            headers["content-encoding"] = "gzip"
        await _stream(request, found.path, format_.content_type, headers)

    def list_format(self, request: Request) -> ListFormat:
        """Which file of the project list the client would be given."""
        return _list_format(self._format(request))

    def _format(self, request: Request) -> Format:
        wanted = request.args.get(b"format", [])
        chosen = choose_format(header(request, "accept"), wanted[0].decode("latin-1") if wanted else None)
        if chosen is None:
            request.setHeader(b"vary", VARY)
            raise NotAcceptable("a simple page can be had as " + ", ".join(one.media_type for one in Format))
        return chosen


def _list_format(format_: Format) -> ListFormat:
    return ListFormat.JSON if format_ is Format.JSON else ListFormat.HTML


def _revalidate(request: Request) -> bool:
    return wants_revalidation(
        header(request, "cache-control"), header(request, "pragma"), header(request, "user-agent")
    )


async def _stream(request: Request, path: Path, content_type: bytes, headers: dict[str, str]) -> None:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        for name, value in headers.items():
            request.setHeader(name, cache_control(request, value) if name == "cache-control" else value)
        request.setHeader(b"content-type", content_type)
        request.setHeader(b"content-length", b"%d" % size)
        if request.method == b"HEAD":
            request.finish()
        else:
            await flow_out(request, KeptReader(stream.fileno(), 0, size))
