"""The list of all projects of an index, read and written piece by piece, because PyPI's has tens of megabytes."""

from __future__ import annotations

import re
from array import array
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from itertools import chain
from typing import BinaryIO
from urllib.parse import unquote, urljoin

import orjson

from pypicache.core.errors import BadInput
from pypicache.core.markup import attributes, pieces, plain
from pypicache.core.model import ProjectName, project_name
from pypicache.core.simple_read import HTML_TYPES, JSON_TYPES, charset, check_api_version, media_type
from pypicache.core.simple_write import escaped

CHUNK = 2**16  # bytes
MOST_TEXT = 300  # characters of a link's text that can be a name

_NEAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/?")


def read_names(stream: BinaryIO, content_type: str, base_url: str) -> Iterator[Mapping[str, object]]:
    """The projects an upstream lists: entries of its JSON as they came, or ``{"name": ...}`` for each link of its HTML.

    Entries without a valid name are left out. Neither the list nor its text is ever in memory as a whole.

    :param content_type: the header's value, with its parameters.
    :param base_url: where the list came from, after redirects; links that lead elsewhere are no projects.
    :raises BadInput: while iterating, maybe after some entries: it is not a project list.
    """
    first = stream.read(CHUNK)
    rest = _Joined(first, stream)
    if media_type(content_type) in JSON_TYPES or first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        entries = _read_json(rest)
    elif media_type(content_type) in HTML_TYPES:
        entries = _read_html(rest, charset(content_type), base_url)
    else:
        raise BadInput(f"the project list is neither JSON nor HTML: its Content-Type is {content_type[:80]!r}")
    for entry in entries:
        if _valid(entry.get("name")) is not None:
            yield entry


def write_json(entries: Iterable[Mapping[str, object]], out: BinaryIO, serial: int | None) -> None:
    """Write a project list as JSON (PEP 691), each project once, the first entry of it.

    :param serial: the upstream's ``_last-serial``, if known.
    """
    meta: dict[str, object] = {"api-version": "1.4"}
    if serial is not None:
        meta["_last-serial"] = serial
    out.write(b'{"meta":' + orjson.dumps(meta) + b',"projects":[')
    separator = b"\n"
    for _, entry in _once(entries):
        try:
            written = orjson.dumps(dict(entry))
        except orjson.JSONEncodeError:
            # A number or a depth that JSON allows and orjson does not; the name is what counts.
            written = orjson.dumps({"name": entry["name"]})
        out.write(separator + written)
        separator = b",\n"
    out.write(b"\n]}\n")


def write_html(entries: Iterable[Mapping[str, object]], out: BinaryIO) -> None:
    """Write a project list as HTML 5 (PEP 503), each project once, with relative links."""
    out.write(
        b'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        b'<meta name="pypi:repository-version" content="1.4">\n<title>Simple index</title>\n</head>\n<body>\n'
    )
    for name, entry in _once(entries):
        out.write(f'<a href="{name}/">{escaped(str(entry["name"]))}</a><br>\n'.encode())
    out.write(b"</body>\n</html>\n")


def _once(entries: Iterable[Mapping[str, object]]) -> Iterator[tuple[ProjectName, Mapping[str, object]]]:
    """Each project's first entry, with its normalised name; entries without a valid name are left out."""
    seen = _Seen()
    for entry in entries:
        name = _valid(entry.get("name"))
        if name is not None and seen.add(name):
            yield name, entry


def _valid(name: object) -> ProjectName | None:
    try:
        return project_name(name) if isinstance(name, str) else None
    except BadInput:
        return None


class _Seen:
    """A set of texts by their 64 bit hashes: 12 to 24 bytes for each, where a set of names takes 150.

    Two of a million names have the same hash with a chance of 1 to 30 millions; then the later one is left out.
    """

    def __init__(self) -> None:
        self._slots = array("Q", [0]) * 1024  # zero: free; a power of two, at most two thirds taken
        self._taken = 0

    def add(self, text: str) -> bool:
        """Take the text in; ``False`` if it was there."""
        if not self._put(self._slots, hash(text) & 0xFFFFFFFFFFFFFFFF or 1):
            return False
        self._taken += 1
        if self._taken * 3 > len(self._slots) * 2:
            larger = array("Q", [0]) * (2 * len(self._slots))
            for known in self._slots:
                if known:
                    self._put(larger, known)
            self._slots = larger
        return True

    @staticmethod
    def _put(slots: array[int], known: int) -> bool:
        mask = len(slots) - 1
        at = known & mask
        while slots[at]:
            if slots[at] == known:
                return False
            at = (at + 1) & mask
        slots[at] = known
        return True


class _Joined:
    """What was read of a stream, and the rest of it."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = BytesIO(first.removeprefix(b"\xef\xbb\xbf"))
        self._stream = stream

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; empty at the end."""
        return self._first.read(size) or self._stream.read(size)


def _read_json(stream: _Joined) -> Iterator[Mapping[str, object]]:
    import ijson  # here, because few daemons are asked for all projects

    listed = False

    def watched() -> Iterator[tuple[str, str, object]]:
        """Pass the events on, and look at what is around the projects."""
        nonlocal listed
        for number, (prefix, event, value) in enumerate(ijson.parse(stream, use_float=True, buf_size=CHUNK)):
            if number == 0 and event != "start_map":
                raise BadInput("the project list is JSON without a list of projects")
            if prefix == "meta.api-version":
                check_api_version(value, "the project list")
            elif prefix == "projects":
                listed = listed or event == "start_array"
            yield prefix, event, value

    try:
        for entry in ijson.items(watched(), "projects.item"):
            if isinstance(entry, dict):
                yield entry
    except (ijson.JSONError, ValueError, OverflowError, RecursionError) as error:
        raise BadInput(f"the project list is not JSON: {str(error)[:200]}") from None
    if not listed:
        raise BadInput("the project list is JSON without a list of projects")


def _read_html(stream: _Joined, encoding: str, base_url: str) -> Iterator[Mapping[str, object]]:
    base = base_url
    href: str | None = None
    text = ""
    # The last link may never be closed; what comes after it ends it.
    for tag, source in chain(pieces(_texts(stream, encoding)), pieces(["<a>"])):
        if tag in {"a", "/a"}:
            name = None if href is None else _linked(href, text, base)
            if name is not None:
                yield {"name": name}
            href, text = (attributes(source).get("href") if tag == "a" else None), ""
        elif not tag and href is not None:
            text = text if len(text) > MOST_TEXT else text + source[:MOST_TEXT]
        elif tag == "base" and base == base_url:
            base = _join(base_url, attributes(source).get("href", "")) or base_url
        elif tag == "meta":
            given = attributes(source)
            if given.get("name", "").strip().lower() == "pypi:repository-version":
                check_api_version(given.get("content", "").strip(), "the project list")


def _texts(stream: _Joined, encoding: str) -> Iterator[str]:
    decoder = getincrementaldecoder(encoding)("replace")
    while chunk := stream.read(CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _linked(href: str, text: str, base: str) -> str | None:
    """The project a link is about: its text, or else where it leads. ``None`` if it leads out of the list."""
    href = href.strip()
    if not _NEAR.fullmatch(href):
        joined, directory = _join(base, href), _join(base, ".")
        # The scheme may differ: behind a proxy a server may not know that it is reached by https.
        inside, outside = joined.partition("://")[2], directory.partition("://")[2]
        if not outside or not inside.startswith(outside):
            return None
        href = inside[len(outside) :].partition("?")[0].partition("#")[0]
    shown = plain(text).strip().rstrip("/")
    for name in (shown, unquote(href.rstrip("/").rpartition("/")[2])):
        if href and _valid(name) is not None:
            return name
    return None


def _join(base: str, href: str) -> str:
    """The absolute address, or nothing if it is none."""
    try:
        return urljoin(base, href.strip())
    except ValueError:
        return ""
