"""Heads and bodies of HTTP/1.1 answers, read strictly (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH

MOST_HEAD = 64 * 2**10  # bytes of a head, and of what follows the last chunk
LONGEST_LINE = 1024  # bytes of the line before a chunk

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: ([^\r\n]*))?\Z")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*([^\r\n\x00]*?)[ \t]*\Z")
_FRAMING = re.compile(rb"\s*(?:content-length|transfer-encoding|connection)\b", re.IGNORECASE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINE = re.compile(rb"\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\Z")


class Malformed(Exception):
    """What came is not HTTP/1.1, or more of it than there may be."""


@frozen(kw_only=True)
class Head:
    """The head of one answer."""

    version: tuple[bytes, int, int]
    code: int
    phrase: bytes
    headers: Headers
    length: int | object  # bytes of the body; UNKNOWN_LENGTH where only its end will tell
    chunked: bool
    lasting: bool  # whether the connection may be used again after it


def parse_head(raw: bytes, method: bytes) -> Head:
    """Read a head, without the blank line after it.

    :param method: of the request; an answer to HEAD has no body.
    :raises Malformed: it is none, or contradicts itself about the length of the body.
    """
    first, *lines = _LINE.split(_FOLD.sub(b" ", raw))
    status = _STATUS.match(first)
    if status is None:
        raise Malformed(f"no status line of HTTP/1.1: {first[:80]!r}")
    code = int(status[2])
    headers = Headers()
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    options = b""
    for line in lines:
        field = _FIELD.match(line)
        if field is None:
            if b":" in line and not _FRAMING.match(line):
                continue  # a name or a value that nobody may send, and that says nothing about the body
            raise Malformed(f"no header: {line[:80]!r}")
        name, value = field.groups()
        headers.addRawHeader(name, value)
        name = name.lower()
        if name == b"content-length":
            lengths.update(part.strip() for part in value.split(b","))
        elif name == b"transfer-encoding":
            codings += [part.strip().lower() for part in value.split(b",")]
        elif name == b"connection":
            options += b"," + value.lower()
    if code < 200:
        length: int | object = 0
    else:
        length = _length(lengths, codings)
    lasting = b"close" not in options and (status[1] == b"1.1" or b"keep-alive" in options)
    if method == b"HEAD" or code in {204, 304} or code < 200:
        length, codings = 0, []
    return Head(
        version=(b"HTTP", 1, int(status[1][2:])),
        code=code,
        phrase=status[3] or b"",
        headers=headers,
        length=length,
        chunked=bool(codings),
        lasting=lasting and not (codings and lengths) and (bool(codings) or length is not UNKNOWN_LENGTH),
    )


def _length(lengths: set[bytes], codings: list[bytes]) -> int | object:
    if codings:
        if codings != [b"chunked"]:
            raise Malformed(f"a body in a transfer coding that nobody asked for: {codings[0][:40]!r}")
        return UNKNOWN_LENGTH
    if not lengths:
        return UNKNOWN_LENGTH
    (length, *others) = lengths
    if others or not length.isdigit() or len(length) > 15:
        raise Malformed(f"no length: {length[:40]!r}")
    return int(length)


class Chunks:
    """Takes a body out of its chunks (RFC 9112 section 7.1).

    :param take: given every piece of the body.
    :ivar rest: ``None`` until the body is over; then what came behind it.
    """

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._buffer = b""
        self._left = 0  # bytes of the chunk that are still to come
        self._step = self._size
        self.rest: bytes | None = None

    def data(self, data: bytes) -> None:
        """The next bytes.

        :raises Malformed: they are no chunks.
        """
        self._buffer += data
        while self.rest is None and self._buffer and self._step():
            pass

    def _size(self) -> bool:
        line = self._line(LONGEST_LINE)
        if line is None:
            return False
        size = _CHUNK.match(line)
        if size is None:
            raise Malformed(f"no length of a chunk: {line[:40]!r}")
        self._left = int(size[1], 16)
        self._step = self._content if self._left else self._trailer
        return True

    def _content(self) -> bool:
        piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(piece)
        if not self._left:
            self._step = self._end
        self._take(piece)
        return True

    def _end(self) -> bool:
        line = self._line(2)
        if line:
            raise Malformed("a chunk is longer than it said")
        if line is None:
            return False
        self._step = self._size
        return True

    def _trailer(self) -> bool:
        line = self._line(MOST_HEAD)
        if line is None:
            return False
        self._left += len(line) + 2
        if self._left > MOST_HEAD:
            raise Malformed(f"more than {MOST_HEAD} bytes behind the last chunk")
        if not line:
            self.rest, self._buffer = self._buffer, b""
        return True

    def _line(self, most: int) -> bytes | None:
        at = self._buffer.find(b"\n", 0, most + 2)
        if at < 0:
            if len(self._buffer) >= most + 2:
                raise Malformed(f"a line of more than {most} bytes between chunks")
            return None
        line, self._buffer = self._buffer[:at], self._buffer[at + 1 :]
        return line.removesuffix(b"\r")
