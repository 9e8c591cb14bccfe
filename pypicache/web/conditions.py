"""Conditional and partial requests (RFC 9110 sections 13 and 14), as pure functions of header texts.

Whatever cannot be read is answered as if it had not been sent, so a client gets too much and never the wrong thing.
``If-None-Match`` goes before ``If-Modified-Since``, and both before ``Range``; that order is the caller's.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import formatdate

from pypicache.core.errors import PypicacheError

_TAG = re.compile(r'(W/)?"([^"]*)"')
_TAGS = re.compile(r'[ \t,]*(?:(?:W/)?"[^"]*"[ \t]*(?:,[ \t,]*|$))+')
_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME} GMT",  # IMF-fixdate
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} GMT",  # RFC 850
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",  # asctime
    )
)


class Unsatisfiable(PypicacheError):
    """The range lies outside of the body; to be answered with 416 and ``Content-Range: bytes */size``.

    :ivar size: length of the whole body, in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside of the body, which has {size} bytes")
        self.size = size


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Tell whether a client that sent ``If-None-Match`` has what we would send, so that 304 is the answer.

    :param etag: our entity tag, without quotes.

    The comparison is the weak one (RFC 9110 section 13.1.2).
    """
    if if_none_match is None:
        return False
    if if_none_match == f'"{etag}"':
        return True
    if if_none_match.strip() == "*":
        return True
    if not _TAGS.fullmatch(if_none_match):
        return False
    return any(found[2] == etag for found in _TAG.finditer(if_none_match))


def not_modified_since(if_modified_since: str | None, modified: float | None) -> bool:
    """Tell whether a client that sent ``If-Modified-Since``, and no ``If-None-Match``, has what we would send.

    :param modified: our last modification in seconds since the epoch; what we tell of it are whole seconds.
    """
    if if_modified_since is None or modified is None:
        return False
    since = parse_http_date(if_modified_since)
    return since is not None and math.floor(modified) <= since


def range_applies(if_range: str | None, etag: str | None, modified: float | None) -> bool:
    """Tell whether ``Range`` may be honoured, because the client's other part is of the same bytes as ours.

    :param etag: our strong entity tag, without quotes.
    :param modified: our last modification in seconds since the epoch.

    Entity tags are compared strongly, so a weak one never fits; a date has to be exactly ours (RFC 9110 section
    13.1.5). Without ``If-Range`` it may.
    """
    if if_range is None:
        return True
    if_range = if_range.strip()
    if '"' in if_range:
        return etag is not None and if_range == f'"{etag}"'
    return modified is not None and parse_http_date(if_range) == math.floor(modified)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The one byte range that a client asks for.

    :param header: the header field ``Range``.
    :param size: length of the whole body, in bytes.
    :return: first byte and one past the last, ``0 <= first < end <= size``; ``None`` if the whole body should be sent.
    :raises Unsatisfiable: the range starts at or after ``size``, or is the last no bytes.

    Several ranges are answered with the whole body, as RFC 9110 section 14.2 permits. So is a suffix of an empty body:
    section 14.1.2 calls it satisfiable, but ``Content-Range`` cannot say "no bytes".
    """
    unit, equals, listed = (header or "").strip().partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    ranges = [member for member in (part.strip(" \t") for part in listed.split(",")) if member]
    found = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if found is None or found[0] == "-":
        return None
    if not found[1]:
        suffix = _number(found[2])
        if suffix == 0:
            raise Unsatisfiable(size)
        return (max(0, size - suffix), size) if size > 0 else None
    first = _number(found[1])
    last = _number(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    if first >= size:
        raise Unsatisfiable(size)
    return first, min(last + 1, size)


def _number(digits: str) -> int:
    """Read a number of any length, without the cost of a silly one; beyond twenty digits only its greatness counts."""
    return int(digits.lstrip("0")[:20] or "0")


def http_date(seconds: float) -> bytes:
    """A moment as HTTP writes it, ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110 section 5.6.7).

    :param seconds: since the epoch; a fraction is cut off, so that nothing seems newer than it is.
    """
    return formatdate(math.floor(seconds), usegmt=True).encode("ascii")


def parse_http_date(text: str) -> float | None:
    """Read a moment in one of the three forms of RFC 9110 section 5.6.7.

    :return: seconds since the epoch; ``None`` if it is not of these forms, or not a day and time that exist.

    The day of the week is not compared. A year of two digits lies between 1970 and 2069.
    """
    for form in _DATES:
        found = form.fullmatch(text.strip())
        if found is None or found["month"].lower() not in _MONTHS:
            continue
        year = int(found["year"])
        if len(found["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        month = _MONTHS.index(found["month"].lower()) + 1
        clock = int(found["hour"]), int(found["minute"]), int(found["second"])
        try:
            return datetime(year, month, int(found["day"]), *clock, tzinfo=UTC).timestamp()
        except ValueError:
            return None
    return None
