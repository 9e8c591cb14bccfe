"""Pages as ready bytes, per representation and content coding."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from hashlib import sha256
from urllib.parse import quote

import zstandard
from attrs import define, field

from pypicache.core.model import File, Project
from pypicache.core.simple_write import render_html, render_json
from pypicache.tasks import InThread, Once
from pypicache.web.negotiation import Coding, Format
from pypicache.web.offers import Ready

LARGE = 200  # files; pages with more are rendered and compressed in a thread
Key = tuple[str, str, str, str]


@define
class _Rendered:
    revision: str
    plain: bytes
    digest: str
    coded: dict[Coding, Ready] = field(factory=dict)

    @property
    def weight(self) -> int:
        return len(self.plain) + sum(len(ready.body) for ready in self.coded.values())


def compress(body: bytes, coding: Coding) -> bytes:
    """Bring a body into a content coding."""
    if coding is Coding.GZIP:
        return gzip.compress(body, 6, mtime=0)
    if coding is Coding.ZSTD:
        return zstandard.ZstdCompressor(level=3).compress(body)
    return body


class ReadyPages:
    """Rendered pages, kept up to a number of bytes; what is not used for the longest time goes first.

    A page is ready as long as its project has the same revision.
    """

    def __init__(self, in_thread: InThread, most_bytes: int = 64 * 2**20) -> None:
        self._in_thread = in_thread
        self._most_bytes = most_bytes
        self._pages: OrderedDict[Key, _Rendered] = OrderedDict()
        self._weight = 0
        self._making: Once[tuple[Key, str, Coding], Ready] = Once()

    def at_hand(self, key: Key, coding: Coding) -> tuple[str, Ready] | None:
        """A page that is ready, and the revision of the project that it shows; ``None`` if it has to be made."""
        rendered = self._pages.get(key)
        ready = None if rendered is None else rendered.coded.get(coding)
        if rendered is None or ready is None:
            return None
        self._pages.move_to_end(key)
        return rendered.revision, ready

    async def page(self, prefix: str, index: str, project: Project, format_: Format, coding: Coding) -> Ready:
        """The bytes of a project's page.

        :param prefix: path of the outside URL, put before the URLs of files.
        """
        key = (prefix, index, project.name, format_.name)
        found = self.at_hand(key, coding)
        if found is not None and found[0] == project.revision:
            return found[1]
        question = (key, project.revision, coding)
        return await self._making.start(question, lambda: self._make(key, project, format_, coding)).join()

    async def _make(self, key: Key, project: Project, format_: Format, coding: Coding) -> Ready:
        def make() -> tuple[_Rendered, Ready]:
            rendered = self._pages.get(key)
            if rendered is None or rendered.revision != project.revision:
                plain = _render(key[0], key[1], project, format_)
                rendered = _Rendered(project.revision, plain, sha256(plain).hexdigest()[:32])
            etag = f"{rendered.digest}-{format_.letter}{coding.letter}"
            return rendered, Ready(etag=etag, body=compress(rendered.plain, coding))

        rendered, ready = await self._in_thread(make) if len(project.files) > LARGE else make()
        self._put(key, rendered, coding, ready)
        return ready

    def _put(self, key: Key, rendered: _Rendered, coding: Coding, ready: Ready) -> None:
        before = self._pages.pop(key, None)
        if before is not None:
            self._weight -= before.weight
            if before.revision == rendered.revision:
                rendered = before
        rendered.coded[coding] = ready
        self._pages[key] = rendered
        self._weight += rendered.weight
        while self._weight > self._most_bytes and len(self._pages) > 1:
            self._weight -= self._pages.popitem(last=False)[1].weight


def _render(prefix: str, index: str, project: Project, format_: Format) -> bytes:
    def url_of(file: File) -> str:
        return f"{prefix}/{quote(file.index or index, safe='/@')}/{quote(file.path, safe='/+')}"

    return render_json(project, url_of) if format_ is Format.JSON else render_html(project, url_of)
