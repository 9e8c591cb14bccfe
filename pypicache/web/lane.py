"""The fast lane: answers to plain questions for what is at hand, without the machinery of HTTP.

An answer of the lane has the bytes that the normal path would write. Whatever is not plain, or not at hand, is left to
the normal path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.server import version

from pypicache.store.local import Shelf
from pypicache.web.asked import Asked, Line, PageAt, outside_path, read_head, read_line
from pypicache.web.conditions import (
    Unsatisfiable,
    http_date,
    not_modified,
    not_modified_since,
    parse_range,
    range_applies,
)
from pypicache.web.negotiation import Coding, Format
from pypicache.web.offers import FileAtHand, IAtHand, IComing, PageAtHand, WholeFile
from pypicache.web.said import OCTETS, file_fields, for_one, freshness, page_fields
from pypicache.web.sheets import LARGE, Sheets

T = TypeVar("T")
AT_ONCE = 64 * 2**10  # bytes of a file that are read and sent together with the head
MOST_AT_ALL = 16_000  # bytes of a head; twisted.web takes a little more, not counting the ends of lines
QUESTIONS = (b"GET ", b"HEAD ")
END = b"\r\n\r\n"  # of a head
STATUS = {200: b"HTTP/1.1 200 OK\r\n", 206: b"HTTP/1.1 206 Partial Content\r\n", 304: b"HTTP/1.1 304 Not Modified\r\n"}


@define(kw_only=True)
class Part:
    """The span of an open file that follows the head of an answer."""

    descriptor: int
    at: int  # the next byte
    end: int
    close: Callable[[], None]  # lets go of the file


@define(eq=False)
class Reply:
    """An answer: its head, then its body, in memory or as a part of a file."""

    line: Line
    asked: Asked
    status: int
    size: int  # bytes of the body
    data: bytes  # the head
    body: bytes = b""
    part: Part | None = None


@define
class Lane:
    """Answers the bytes of a request by the bytes of an answer.

    :param client_max_age: seconds for which clients may take a page for fresh.
    :param dress: headers of every answer.
    :param serial: of the last change to the truth.
    """

    _at_hand: IAtHand
    _coming: IComing | None  # None: what is not at hand is left to the normal path
    _shelf: Shelf
    _clock: IReactorTime
    _configured_url: str | None
    _client_max_age: float
    _dress: Mapping[str, str]
    _serial: Callable[[], int]
    _received: Callable[[int], None]  # told how many bytes of files were sent from the shelf
    _sheets: Sheets = field(init=False, factory=Sheets)
    _second: int = -1  # for which, together with the serial, the beginning of answers holds
    _told: int = -1  # the serial
    _beginning: bytes = b""
    _constant: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._constant = lines(self._dress)

    def answer(self, data: bytes) -> Reply | None:
        """Answer one whole request; ``None`` if that takes more than a look, or the normal path.

        :param data: what came from the client, nothing before it having been left unread.
        """
        question = self._read(data)
        if question is None:
            return None
        line, asked, prefix = question
        if isinstance(line.where, PageAt):
            page = self._at_hand.page(line.where, asked, prefix)
            return None if page is None else self._page(line, asked, page)
        file = self._at_hand.file(line.where, asked)
        if file is not None:
            return self._file(line, asked, file)
        fresh = None if line.bodiless else self._at_hand.fresh(line.where, asked)
        return None if fresh is None else self._whole(line, asked, fresh)

    def ask(self, data: bytes) -> Deferred[Reply | None] | None:
        """Answer one whole request that :meth:`answer` does not, when somebody was asked; ``None`` as there.

        Fails with what the normal path would have failed with.
        """
        question = None if self._coming is None else self._read(data)
        if question is None or self._coming is None:
            return None
        line, asked, prefix = question
        serial = self._serial()  # what is recorded from now on may be missing in the answer
        if isinstance(line.where, PageAt):
            page = self._coming.page(line.where, asked, prefix)
            return _then(page, lambda page: self._page(line, asked, page, serial))
        if line.bodiless:
            return None
        return _then(self._coming.file(line.where, asked), lambda file: self._whole(line, asked, file, serial))

    def _read(self, data: bytes) -> tuple[Line, Asked, str] | None:
        """A whole plain question: its first line, its fields, and the path of the outside URL."""
        if not data.startswith(QUESTIONS) or not data.endswith(END) or len(data) > MOST_AT_ALL:
            return None
        first, _, fields = data.partition(b"\r\n")
        asked = read_head(fields)
        prefix = None if asked is None else outside_path(asked.outside_url, self._configured_url)
        line = None if prefix is None else read_line(first, prefix)
        return None if asked is None or prefix is None or line is None else (line, asked, prefix)

    def _page(self, line: Line, asked: Asked, page: PageAtHand, serial: int | None = None) -> Reply:
        project, ready, private = page
        fresh = freshness(project.checked, project.stale, self._clock.seconds(), self._client_max_age)
        said = _page_lines(for_one(fresh) if private else fresh, ready.etag, project.serial, project.stale)
        if asked.tags is not None and not_modified(asked.tags, ready.etag):
            return Reply(line, asked, 304, 0, self._head(asked, 304, said, None, serial))
        assert asked.format is not None
        size = len(ready.body)
        head = self._head(asked, 200, said + _representation(asked.format, asked.coding), size, serial)
        if line.bodiless:
            return Reply(line, asked, 200, 0, head)
        sheet = self._sheets.of(ready) if size >= LARGE else None
        if sheet is None:
            return Reply(line, asked, 200, size, head, ready.body)
        part = Part(descriptor=sheet.descriptor, at=0, end=size, close=sheet.leave)
        return Reply(line, asked, 200, size, head, b"", part)

    def _file(self, line: Line, asked: Asked, file: FileAtHand) -> Reply | None:
        found, said = file.found, _about(file)
        if (
            not_modified_since(asked.since, file.modified)
            if asked.tags is None
            else not_modified(asked.tags, file.etag)
        ):
            return Reply(line, asked, 304, 0, self._head(asked, 304, said))
        said = OCTETS_LINE + said
        if line.bodiless:
            return Reply(line, asked, 200, 0, self._head(asked, 200, said, found.size))
        status, first, end = 200, 0, found.size
        if asked.range is not None and range_applies(asked.if_range, file.etag, file.modified):
            try:
                span = parse_range(asked.range, found.size)
            except Unsatisfiable:
                return None
            if span is not None:
                status, (first, end) = 206, span
                said += lines({"content-range": f"bytes {first}-{end - 1}/{found.size}"})
        length = end - first
        head = self._head(asked, status, said, length)
        if length <= AT_ONCE:
            body = self._shelf.read(found, first, end)
            reply = None if body is None else Reply(line, asked, status, length, head, body)
        else:
            kept = self._shelf.open_found(found)
            reply = None
            if kept is not None:
                part = Part(descriptor=kept.descriptor, at=first, end=end, close=partial(self._shelf.close, kept))
                reply = Reply(line, asked, status, length, head, b"", part)
        if reply is not None:
            self._received(length)
        return reply

    def _whole(self, line: Line, asked: Asked, file: WholeFile, serial: int | None = None) -> Reply:
        size = len(file.content)
        return Reply(
            line, asked, 200, size, self._head(asked, 200, OCTETS_LINE + _about(file), size, serial), file.content
        )

    def _head(
        self, asked: Asked, status: int, said: bytes, length: int | None = None, serial: int | None = None
    ) -> bytes:
        second, serial = int(self._clock.seconds()), self._serial() if serial is None else serial
        if second != self._second or serial != self._told:
            self._second, self._told = second, serial
            first = lines({"server": version.decode(), "date": http_date(second).decode()})
            self._beginning = first + self._constant + lines({"x-devpi-serial": str(serial)})
        closing = b"Connection: close\r\n" if asked.close else b""
        end = b"\r\n" if length is None else b"Content-Length: %d\r\n\r\n" % length
        return b"".join((STATUS[status], closing, self._beginning, said, end))


def lines(fields: Mapping[str, str]) -> bytes:
    """Header fields as they are written, each with its end of line."""
    return b"".join(b"%s: %s\r\n" % (_canonical(name), value.encode()) for name, value in fields.items())


@lru_cache(maxsize=256)
def _canonical(name: str) -> bytes:
    """A field's name as twisted.web spells it."""
    return next(iter(Headers({name: [""]}).getAllRawHeaders()))[0]


@lru_cache(maxsize=8192)
def _page_lines(fresh: str, etag: str, serial: int | None, stale: bool) -> bytes:
    return lines(page_fields(fresh, etag, serial, stale))


@lru_cache(maxsize=8192)
def _file_lines(cached: str, etag: str, modified: float) -> bytes:
    return lines(file_fields(cached, etag, modified))


def _about(file: FileAtHand | WholeFile) -> bytes:
    cached = for_one(file.cache_control) if file.private else file.cache_control
    return _file_lines(cached, file.etag, file.modified)


def _then(coming: Deferred[T | None] | None, answer: Callable[[T], Reply]) -> Deferred[Reply | None] | None:
    """The answer that is made of what is coming; ``None`` if nothing is."""
    return None if coming is None else coming.addCallback(lambda came: None if came is None else answer(came))


@lru_cache(maxsize=16)
def _representation(format_: Format, coding: Coding) -> bytes:
    coded = {} if coding is Coding.IDENTITY else {"content-encoding": coding.token.decode()}
    return lines({**coded, "content-type": format_.content_type.decode()})


OCTETS_LINE = lines({"content-type": OCTETS.decode()})
