"""Conditional and partial requests, as RFC 9110 sections 13 and 14 have them."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicache.web.conditions import (
    Unsatisfiable,
    http_date,
    not_modified,
    not_modified_since,
    parse_http_date,
    parse_range,
    range_applies,
)

EXAMPLE = 784111777  # the moment that RFC 9110 section 5.6.7 uses
FIXDATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        ('"E"', True),
        ('W/"E"', True),
        ("*", True),
        (" * ", True),
        ('"x", "E"', True),
        ('"x","E","y"', True),
        ('W/"x" , W/"E"', True),
        (', ,\t"E",, ', True),
        ('"a, b", "E"', True),
        (None, False),
        ("", False),
        (",", False),
        ('"x"', False),
        ('"e"', False),
        ('"E-gzip"', False),
        ('"a,E"', False),
        ('"a, E", "b"', False),
        # Not lists of entity tags, so they say nothing.
        ("E", False),
        ('w/"E"', False),
        ('"x" "E"', False),
        ('"x", E', False),
        ('"x, "E"', False),
        ('"E", *', False),
        ('"E" ; q=1', False),
        ('"E', False),
        ('E"', False),
    ],
)
def test_if_none_match(if_none_match: str | None, expected: bool) -> None:
    assert not_modified(if_none_match, "E") is expected


def test_a_comma_may_be_part_of_our_tag() -> None:
    assert not_modified('"x", "a, b"', "a, b")
    assert not not_modified('"a", "b"', "a, b")


tags = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters='"\x7f'), max_size=6)


@given(st.lists(st.tuples(st.booleans(), tags), min_size=1), tags, st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_a_tag_matches_exactly_if_it_is_in_the_list(listed: list[tuple[bool, str]], tag: str, comma: str) -> None:
    field_value = comma.join(f'W/"{text}"' if weak else f'"{text}"' for weak, text in listed)
    assert not_modified(field_value, tag) == (tag in [text for _, text in listed])
    assert not_modified(f'{field_value}, "{tag}"', tag)


@pytest.mark.parametrize(
    ("if_modified_since", "modified", "expected"),
    [
        (FIXDATE, EXAMPLE, True),
        (FIXDATE, EXAMPLE + 0.9, True),
        (FIXDATE, EXAMPLE - 100, True),
        (FIXDATE, EXAMPLE + 1, False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE, True),
        (FIXDATE, None, False),
        (None, EXAMPLE, False),
        ("yesterday", EXAMPLE, False),
        (f"{FIXDATE}, {FIXDATE}", EXAMPLE, False),
    ],
)
def test_if_modified_since(if_modified_since: str | None, modified: float | None, expected: bool) -> None:
    assert not_modified_since(if_modified_since, modified) is expected


@pytest.mark.parametrize(
    ("if_range", "etag", "modified", "expected"),
    [
        (None, "E", EXAMPLE, True),
        (None, None, None, True),
        ('"E"', "E", EXAMPLE, True),
        (' "E" ', "E", None, True),
        ('"x"', "E", EXAMPLE, False),
        ('W/"E"', "E", EXAMPLE, False),
        ('"E", "x"', "E", EXAMPLE, False),
        ('"E"', None, EXAMPLE, False),
        ('"None"', None, EXAMPLE, False),
        ("E", "E", EXAMPLE, False),
        ("*", "E", EXAMPLE, False),
        ("", "E", EXAMPLE, False),
        (FIXDATE, "E", EXAMPLE, True),
        (FIXDATE, None, EXAMPLE + 0.9, True),
        (FIXDATE, "E", EXAMPLE + 1, False),
        (FIXDATE, "E", EXAMPLE - 1, False),
        (FIXDATE, "E", None, False),
        ("yesterday", "E", EXAMPLE, False),
    ],
)
def test_if_range(if_range: str | None, etag: str | None, modified: float | None, expected: bool) -> None:
    assert range_applies(if_range, etag, modified) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=100-199", (100, 200)),
        ("bytes=0-999", (0, 1000)),
        ("bytes=0-", (0, 1000)),
        ("bytes=999-", (999, 1000)),
        ("bytes=990-5000", (990, 1000)),
        ("bytes=-1", (999, 1000)),
        ("bytes=-1000", (0, 1000)),
        ("bytes=-10000", (0, 1000)),
        ("bytes=-" + "9" * 5000, (0, 1000)),
        ("bytes=5-" + "9" * 5000, (5, 1000)),
        ("bytes=" + "0" * 5000 + "7-8", (7, 9)),
        ("Bytes=1-2", (1, 3)),
        (" bytes=, 1-2 ,", (1, 3)),
        # The whole body.
        (None, None),
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=,", None),
        ("bytes=5", None),
        ("bytes=5-4", None),
        ("bytes=5000-4000", None),
        ("bytes=0-1,5-6", None),
        ("bytes=0-1,5000-", None),
        ("bytes=a-b", None),
        ("bytes=0x1-2", None),
        ("bytes=1 - 2", None),
        ("bytes =1-2", None),
        ("bytes=--2", None),
        ("bytes=+1-2", None),
        ("bytes=1_0-20", None),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-5", None),
        ("bytes=1-2-3", None),
        ("bytes:1-2", None),
        ("items=0-5", None),
    ],
)
def test_range_of_a_thousand_bytes(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1000", "bytes=" + "9" * 5000 + "-", "bytes=-0"])
def test_range_outside_of_a_thousand_bytes(header: str) -> None:
    with pytest.raises(Unsatisfiable) as raised:
        parse_range(header, 1000)
    assert raised.value.size == 1000


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=5-9", "bytes=-0"])
def test_no_range_begins_inside_an_empty_body(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, 0)


def test_the_last_bytes_of_an_empty_body_are_the_whole_body() -> None:
    assert parse_range("bytes=-5", 0) is None


@given(st.binary(max_size=40), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_range_selects_the_bytes_that_a_slice_selects(body: bytes, first: int, last: int | None) -> None:
    header = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert parse_range(header, len(body)) is None
    elif first >= len(body):
        with pytest.raises(Unsatisfiable):
            parse_range(header, len(body))
    else:
        span = parse_range(header, len(body))
        assert span is not None
        assert body[span[0] : span[1]] == (body[first:] if last is None else body[first : last + 1])


@given(st.binary(min_size=1, max_size=40), st.integers(1, 60))
def test_a_suffix_selects_the_bytes_that_a_slice_selects(body: bytes, length: int) -> None:
    span = parse_range(f"bytes=-{length}", len(body))
    assert span is not None
    assert body[span[0] : span[1]] == body[-length:]


@given(st.text(alphabet=st.sampled_from("0123456789-, =bytes"), max_size=30), st.integers(0, 100))
def test_a_range_is_inside_of_the_body_whatever_is_asked(listed: str, size: int) -> None:
    for header in (listed, f"bytes={listed}"):
        try:
            span = parse_range(header, size)
        except Unsatisfiable:
            continue
        assert span is None or 0 <= span[0] < span[1] <= size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FIXDATE, EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", EXAMPLE),
        ("sun, 06 nov 1994 08:49:37 gmt", EXAMPLE),
        (f" {FIXDATE} ", EXAMPLE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Thu, 29 Feb 2024 00:00:00 GMT", calendar.timegm((2024, 2, 29, 0, 0, 0))),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ("Tuesday, 01-Jan-69 00:00:00 GMT", calendar.timegm((2069, 1, 1, 0, 0, 0))),
        ("Wed Jan 10 00:00:00 2024", calendar.timegm((2024, 1, 10, 0, 0, 0))),
        ("", None),
        ("0", None),
        ("784111777", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 +0100", None),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 94 08:49:37 GMT", None),
        ("Sun, 06 Nox 1994 08:49:37 GMT", None),
        ("Thu, 31 Feb 2024 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun Nov    08:49:37 1994", None),
        ("1994-11-06T08:49:37Z", None),
    ],
)
def test_dates_that_clients_write(text: str, expected: float | None) -> None:
    assert parse_http_date(text) == expected


@pytest.mark.parametrize("seconds", [EXAMPLE, EXAMPLE + 0.25, EXAMPLE + 0.9999999])
def test_a_date_that_we_write_is_never_newer_than_the_moment(seconds: float) -> None:
    assert http_date(seconds) == FIXDATE.encode()


@given(st.integers(0, 253402300799))  # to the end of the year 9999
def test_we_read_what_we_write(seconds: int) -> None:
    assert parse_http_date(http_date(seconds).decode("ascii")) == seconds


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)))  # noqa: DTZ001 - hypothesis wants them without a zone
def test_the_three_forms_mean_the_same_moment(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    fixdate, clock = http_date(moment.timestamp()).decode("ascii"), f"{moment:%H:%M:%S}"
    month = fixdate[8:11]
    assert parse_http_date(fixdate) == moment.timestamp()
    assert parse_http_date(f"Weekday, {moment:%d}-{month}-{moment:%y} {clock} GMT") == moment.timestamp()
    assert parse_http_date(f"Day {month} {moment.day:2} {clock} {moment.year}") == moment.timestamp()


@given(st.text(max_size=40))
def test_no_text_makes_trouble(text: str) -> None:
    assert parse_http_date(text) is None
    assert not_modified(text, "E") is (text.strip() == "*")
    assert not_modified_since(text, EXAMPLE) is False
    assert range_applies(text, "E", EXAMPLE) is False
