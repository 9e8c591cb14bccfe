"""The fast lane: answers to plain questions for what is at hand, without the machinery of HTTP.

An answer of the lane has the bytes that the normal path would write. Whatever is not plain, or not at hand, is left to
the normal path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.server import version

from pypicache.core.errors import Broken, PypicacheError
from pypicache.store.local import Kept, Shelf
from pypicache.web.asked import Asked, FileAt, PageAt, outside_path, place, read_head
from pypicache.web.conditions import http_date, not_modified, not_modified_since, parse_range, range_applies
from pypicache.web.negotiation import Coding
from pypicache.web.offers import FileAtHand, IAtHand, PageAtHand
from pypicache.web.said import OCTETS, for_one, page_fields

AT_ONCE = 64 * 2**10  # bytes of a file that are read and sent together with the head
MOST_AT_ALL = 16_000  # bytes of a head; twisted.web takes a little more, not counting the ends of lines
PLAIN = b" HTTP/1.1"
STATUS = {200: b"HTTP/1.1 200 OK\r\n", 206: b"HTTP/1.1 206 Partial Content\r\n", 304: b"HTTP/1.1 304 Not Modified\r\n"}


@frozen(kw_only=True)
class Request:
    """A question that the lane answers."""

    method: bytes
    uri: bytes
    agent: str
    close: bool  # the connection ends with the answer


@define(kw_only=True)
class Part:
    """The span of an open file that follows the head of an answer."""

    shelf: Shelf
    kept: Kept
    at: int  # the next byte
    end: int

    def close(self) -> None:
        """Let go of the file."""
        self.shelf.close(self.kept)


@frozen(kw_only=True)
class Reply:
    """An answer: its head, then its body, in memory or as a part of a file."""

    request: Request
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
    _shelf: Shelf
    _clock: IReactorTime
    _configured_url: str | None
    _client_max_age: float
    _dress: Mapping[str, str]
    _serial: Callable[[], int]
    _received: Callable[[int], None]  # told how many bytes of files were sent from the shelf
    _begun: tuple[int, int] = (-1, -1)  # the second and the serial for which the beginning of answers holds
    _beginning: bytes = b""
    _constant: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._constant = lines(list(self._dress.items()))

    def answer(self, data: bytes) -> Reply | None:
        """Answer one whole request; ``None`` if the normal path has to.

        :param data: what came from the client, nothing before it having been left unread.
        """
        head, _, rest = data.partition(b"\r\n\r\n")
        if rest or len(head) + 4 != len(data) or len(data) > MOST_AT_ALL:
            return None
        line, _, fields = head.partition(b"\r\n")
        method, _, target = line.partition(b" ")
        if method not in {b"GET", b"HEAD"} or not target.endswith(PLAIN):
            return None
        uri = target[: -len(PLAIN)]
        asked = read_head(fields)
        prefix = None if asked is None else outside_path(asked.outside_url, self._configured_url)
        if asked is None or prefix is None:
            return None
        path = uri
        if prefix and uri.startswith(prefix.encode() + b"/"):
            path = uri[len(prefix) :]
        where = place(path)
        request = Request(method=method, uri=uri, agent=asked.agent, close=asked.close)
        if isinstance(where, PageAt):
            page = self._at_hand.page(where, asked, prefix)
            return None if page is None else self._page(request, asked, page)
        if isinstance(where, FileAt):
            file = self._at_hand.file(where, asked)
            return None if file is None else self._file(request, asked, file)
        return None

    def _page(self, request: Request, asked: Asked, page: PageAtHand) -> Reply:
        ready = page.ready
        said = page_fields(page.project, ready.etag, self._clock.seconds(), self._client_max_age)
        if page.private:
            said["cache-control"] = for_one(said["cache-control"])
        if asked.tags is not None and not_modified(asked.tags, ready.etag):
            return Reply(request=request, status=304, size=0, data=self._head(request, 304, list(said.items())))
        if asked.coding is not Coding.IDENTITY:
            said["content-encoding"] = asked.coding.token.decode()
        assert asked.format is not None
        said["content-type"] = asked.format.content_type.decode()
        said["content-length"] = str(len(ready.body))
        head = self._head(request, 200, list(said.items()))
        if request.method == b"HEAD":
            return Reply(request=request, status=200, size=0, data=head)
        return Reply(request=request, status=200, size=len(ready.body), data=head, body=ready.body)

    def _file(self, request: Request, asked: Asked, file: FileAtHand) -> Reply | None:
        part = Part(shelf=self._shelf, kept=file.kept, at=0, end=file.kept.size)
        try:
            reply = self._span(request, asked, file, part)
        except PypicacheError:
            reply = None
        except BaseException:
            part.close()
            raise
        if reply is None or reply.part is None:
            part.close()
        return reply

    def _span(self, request: Request, asked: Asked, file: FileAtHand, part: Part) -> Reply:
        """
        :raises Unsatisfiable: the range that is asked for lies outside of the file.
        :raises Broken: the file is shorter than it was.
        """
        cached = for_one(file.cache_control) if file.private else file.cache_control
        said = [
            ("content-type", OCTETS.decode()),
            ("cache-control", cached),
            ("accept-ranges", "bytes"),
            ("etag", f'"{file.etag}"'),
            ("last-modified", http_date(file.modified).decode()),
        ]
        unchanged = (
            not_modified_since(asked.since, file.modified)
            if asked.tags is None
            else not_modified(asked.tags, file.etag)
        )
        if unchanged:
            return Reply(request=request, status=304, size=0, data=self._head(request, 304, said[1:]))
        size, status = file.kept.size, 200
        if request.method == b"HEAD":
            head = self._head(request, 200, [*said, ("content-length", str(size))])
            return Reply(request=request, status=200, size=0, data=head)
        if asked.range is not None and range_applies(asked.if_range, file.etag, file.modified):
            span = parse_range(asked.range, size)
            if span is not None:
                status, (part.at, part.end) = 206, span
                said.append(("content-range", f"bytes {part.at}-{part.end - 1}/{size}"))
        length = part.end - part.at
        head = self._head(request, status, [*said, ("content-length", str(length))])
        if length > AT_ONCE:
            self._received(length)
            return Reply(request=request, status=status, size=length, data=head, part=part)
        body = os.pread(file.kept.descriptor, length, part.at)
        if len(body) != length:
            raise Broken("the file is shorter than it was")
        self._received(length)
        return Reply(request=request, status=status, size=length, data=head, body=body)

    def _head(self, request: Request, status: int, said: Sequence[tuple[str, str]]) -> bytes:
        moment = (int(self._clock.seconds()), self._serial())
        if moment != self._begun:
            self._begun = moment
            date = http_date(moment[0]).decode()
            first = lines([("server", version.decode()), ("date", date)])
            self._beginning = first + self._constant + lines([("x-devpi-serial", str(moment[1]))])
        closing = b"Connection: close\r\n" if request.close else b""
        return STATUS[status] + closing + self._beginning + lines(said) + b"\r\n"


def lines(fields: Sequence[tuple[str, str]]) -> bytes:
    """Header fields as they are written, each with its end of line."""
    return b"".join(b"%s: %s\r\n" % (_canonical(name), value.encode()) for name, value in fields)


_names: dict[str, bytes] = {}


def _canonical(name: str) -> bytes:
    """A field's name as twisted.web spells it."""
    if name not in _names:
        _names[name] = next(iter(Headers({name: [""]}).getAllRawHeaders()))[0]
    return _names[name]
