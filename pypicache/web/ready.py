"""Pages as ready bytes, per representation and content coding."""

from __future__ import annotations

import gzip
from collections import OrderedDict

import zstandard
from attrs import define, field, frozen

from pypicache.core.changes import ReleaseGone
from pypicache.core.model import Project
from pypicache.core.pieces import ENTRY as PIECE
from pypicache.core.pieces import Gzipped, cut, gzipped
from pypicache.ledger.ledger import Recorded
from pypicache.memory_coded import Coded, CodedPages, Place
from pypicache.tasks import InThread, Once, Tasks
from pypicache.web.negotiation import Coding, Format
from pypicache.web.offers import Ready
from pypicache.web.written import Key, Lines, Written, write, write_whole

ZSTD_LEVEL = 1  # pages are mostly digests: 3 takes twice as long and makes more bytes of them
LINES = 16  # the part of all bytes that lines may take is one over this
LARGE = 40  # files; pages with more are rendered and compressed in a thread
STORED = 16 * 2**10  # bytes; to compress less takes less time than to write it down and read it again
ENTRY = 600  # bytes; what an entry takes besides its bodies


@define
class _Rendered:
    """A page in the content codings that were asked for, of one revision of its project."""

    revision: str
    digest: str  # of the plain page
    pieces: Gzipped | None = None  # of a page of several; those of the revision before, until this one is in gzip
    coded: dict[Coding, Ready] = field(factory=dict)

    @property
    def weight(self) -> int:
        weight = ENTRY + sum(len(ready.body) for ready in self.coded.values())
        if self.pieces is not None:
            weight += PIECE * len(self.pieces.spans)
            weight += 0 if Coding.GZIP in self.coded else len(self.pieces.body)
        return weight


@frozen(kw_only=True)
class _Made:
    """A page that was compressed just now, or read from where it is stored."""

    digest: str
    ready: Ready
    pieces: Gzipped | None = None
    written: Written | None = None
    size: int  # bytes of the plain page; 0: it is stored already


@frozen(kw_only=True)
class Figures:
    """How much is ready, and how often that was of use."""

    bytes: int
    most_bytes: int
    pages: int
    hits: int
    misses: int  # pages that had to be made or read


def expand(body: bytes, coding: Coding) -> bytes:
    """Take a body of our own out of a content coding."""
    if coding is Coding.GZIP:
        return gzip.decompress(body)
    if coding is Coding.ZSTD:
        return zstandard.ZstdDecompressor().decompress(body)
    return body


class ReadyPages:
    """Pages in memory, up to a number of bytes; what is not used for the longest time goes first.

    A page is ready as long as its project has the same revision. Of the one after it, only what changed is written and
    compressed. Large pages are stored as well, compressed, so that a restart does not compress them again. The plain
    rendering is not kept where clients take it compressed; another coding is made from the one that is there.

    :param most_bytes: of all bodies, in all codings, of the entries themselves, and of lines that were written.
    """

    def __init__(self, in_thread: InThread, stored: CodedPages, tasks: Tasks, most_bytes: int) -> None:
        self._in_thread = in_thread
        self._stored = stored
        self._tasks = tasks
        self._most_bytes = most_bytes
        self._pages: OrderedDict[Key, _Rendered] = OrderedDict()
        self._weight = 0
        self._lines = Lines(most_bytes // LINES)
        self._hits = 0
        self._misses = 0
        self._making: Once[tuple[Key, str, Coding], Ready] = Once()

    def figures(self) -> Figures:
        """For ``+status``."""
        return Figures(
            bytes=self._weight + self._lines.weight, most_bytes=self._most_bytes, pages=len(self._pages),
            hits=self._hits, misses=self._misses,
        )  # fmt: skip

    def at_hand(self, key: Key, coding: Coding) -> tuple[str, Ready] | None:
        """A page that is ready, and the revision of the project that it shows; ``None`` if it has to be made."""
        rendered = self._pages.get(key)
        ready = None if rendered is None else rendered.coded.get(coding)
        if rendered is None or ready is None:
            return None
        self._pages.move_to_end(key)
        self._hits += 1
        return rendered.revision, ready

    async def page(self, prefix: str, index: str, project: Project, format_: Format, coding: Coding) -> Ready:
        """The bytes of a project's page.

        :param prefix: path of the outside URL, put before the URLs of files.
        """
        key = (prefix, index, project.name, format_)
        found = self.at_hand(key, coding)
        if found is not None:
            if found[0] == project.revision:
                return found[1]
            self._hits -= 1  # it shows how the project was
        self._misses += 1
        question = (key, project.revision, coding)
        return await self._making.start(question, lambda: self._make(key, project, format_, coding)).join()

    async def _make(self, key: Key, project: Project, format_: Format, coding: Coding) -> Ready:
        before = self._pages.get(key)
        large = len(project.files) > LARGE
        lines = self._lines.get(key)
        made = await self._read(key, project, format_, coding) if large and before is None else None
        if made is None:
            made = (
                await self._in_thread(_make, key, project, format_, coding, before, lines)
                if large
                else _make(key, project, format_, coding, before, lines)
            )
        assert isinstance(made, _Made)
        if large and made.written is not None:
            self._lines.put(key, made.written)
        self._put(key, project.revision, coding, made)
        if made.size >= STORED and coding is not Coding.IDENTITY:
            store = self._stored.put(
                _place(key, coding), project.revision, Coded(digest=made.digest, body=made.ready.body)
            )
            self._tasks.keep(store, f"storing the page of {project.name}")
        return made.ready

    async def _read(self, key: Key, project: Project, format_: Format, coding: Coding) -> _Made | None:
        found = None if coding is Coding.IDENTITY else await self._stored.get(_place(key, coding), project.revision)
        if found is None:
            return None
        return _Made(digest=found.digest, ready=_ready(found.digest, format_, coding, found.body), size=0)

    def _put(self, key: Key, revision: str, coding: Coding, made: _Made) -> None:
        rendered = self._pages.pop(key, None)
        if rendered is not None:
            self._weight -= rendered.weight
        if rendered is None or rendered.revision != revision or rendered.digest != made.digest:
            earlier = rendered.pieces if rendered is not None and Coding.GZIP in rendered.coded else None
            rendered = _Rendered(revision, made.digest, earlier)
        if coding is Coding.GZIP:
            rendered.pieces = made.pieces
        rendered.coded[coding] = made.ready
        self._pages[key] = rendered
        self._weight += rendered.weight
        while self._weight + self._lines.weight > self._most_bytes and self._pages:
            self._weight -= self._pages.popitem(last=False)[1].weight

    def follow(self, recorded: Recorded) -> None:
        """Remove stored pages that show what was deleted, now rather than when somebody asks for them again."""
        for project in {change.project for change in recorded.changes if isinstance(change, ReleaseGone)}:
            self._tasks.keep(self._stored.forget(project), f"forgetting the pages of {project}")


def _ready(digest: str, format_: Format, coding: Coding, body: bytes) -> Ready:
    return Ready(etag=f"{digest}-{format_.letter}{coding.letter}", body=body)


def _place(key: Key, coding: Coding) -> Place:
    return Place(prefix=key[0], index=key[1], project=key[2], format=key[3].name, coding=coding.name)


def _make(
    key: Key, project: Project, format_: Format, coding: Coding, before: _Rendered | None, lines: Written | None
) -> _Made:
    """Write a page, unless it is there in another coding, and compress it; for a thread where it is large."""
    written: Written | None = None
    if before is not None and before.revision == project.revision and before.coded:
        other, ready = next(iter(list(before.coded.items())))
        page = cut(expand(ready.body, other))
    elif before is None and lines is None:
        page = cut(write_whole(key, project))
    else:
        plain, written = write(key, project, lines)
        page = cut(plain)
    pieces: Gzipped | None = None
    body = page.page
    if coding is Coding.GZIP:
        packed = gzipped(page, None if before is None else before.pieces)
        pieces, body = packed if packed.spans else None, packed.body
    elif coding is Coding.ZSTD:
        body = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(body)
    ready = _ready(page.digest, format_, coding, body)
    return _Made(digest=page.digest, ready=ready, pieces=pieces, written=written, size=len(page.page))
