"""The list of all projects: read and written in pieces, each project once, in little memory."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from pypicache.core.errors import BadInput
from pypicache.core.project_list import read_names, write_html, write_json

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
BASE = "http://up.example/simple/"


def read(body: bytes | str, content_type: str = JSON, base_url: str = BASE) -> list[Mapping[str, object]]:
    stream = io.BytesIO(body.encode() if isinstance(body, str) else body)
    return list(read_names(stream, content_type, base_url))


def names(body: bytes | str, content_type: str = HTML, base_url: str = BASE) -> list[object]:
    return [entry["name"] for entry in read(body, content_type, base_url)]


def as_json(*entries: Mapping[str, object], serial: int | None = None) -> dict[str, object]:
    out = io.BytesIO()
    write_json(iter(entries), out, serial)
    document = orjson.loads(out.getvalue())
    assert isinstance(document, dict)
    return document


class Trickle(io.BytesIO):
    """A stream that gives one byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1 if size else 0)


# JSON


def test_entries_come_as_they_are() -> None:
    entries = [{"name": "Foo.Bar", "_last-serial": 3, "x": {"y": [1.5, None]}}, {"name": "foo-bar"}, {"name": "é"}]
    body = orjson.dumps({"meta": {"api-version": "1.4"}, "x": [{"name": "other"}], "projects": entries})
    assert read(body) == entries[:2]


@pytest.mark.parametrize("content_type", ["application/json", "text/html", "", "application/octet-stream"])
def test_an_object_is_json_whatever_its_type(content_type: str) -> None:
    assert read(b'\xef\xbb\xbf \n{"projects": [{"name": "a"}]}', content_type) == [{"name": "a"}]


def test_entries_that_are_no_projects_are_left_out() -> None:
    assert read('{"projects": [{"name": "a"}, {}, {"name": null}, {"name": "../x"}, "b", 5, [], null]}') == [
        {"name": "a"}
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        ("", JSON, "not JSON"),
        ("[]", JSON, "without a list of projects"),
        ('"x"', JSON, "without a list of projects"),
        ("{}", JSON, "without a list of projects"),
        ('{"projects": {"name": "a"}}', JSON, "without a list of projects"),
        ('{"files": [{"name": "a"}]}', JSON, "without a list of projects"),
        ('{"projects": [{"name": "a"}', JSON, "not JSON"),
        ('{"projects": [{"name": "a"}]} x', JSON, "not JSON"),
        ('{"projects": [{"name": "\udcff"}]}', JSON, "not JSON"),
        ('{"meta": {"api-version": "2.0"}, "projects": []}', JSON, "api-version '2.0'"),
        ('{"projects": [], "meta": {"api-version": 1}}', JSON, "api-version '1'"),
        ("<html>", JSON, "not JSON"),
        ("<html>", "image/png", "neither JSON nor HTML"),
        ('<meta name="pypi:repository-version" content="2.0">', HTML, "api-version '2.0'"),
    ],
)
def test_what_is_no_list(body: str, content_type: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(body.encode("utf-8", "surrogateescape"), content_type)


# HTML


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('<a href="foo-bar/">Foo_Bar</a>', ["Foo_Bar"]),
        ('<a href="foo/">\n <b>Foo</b>&#46;bar </a>', ["Foo.bar"]),
        ('<a href="foo/">foo/</a>', ["foo"]),
        ('<a href="foo">the project</a>', ["foo"]),
        ('<a href="foo%2Dbar/"></a>', ["foo-bar"]),
        ('<a href="/simple/foo/">foo</a><a href="http://up.example/simple/bar/">bar</a>', ["foo", "bar"]),
        ('<a href="https://up.example/simple/foo/">foo</a>', ["foo"]),
        ('<a href="/login">login</a><a href="http://x.example/simple/y/">y</a><a href="../">up</a>', []),
        ('<a href="?page=2">next</a><a href="">here</a><a name="top">top</a><a href="http://[">x</a>', []),
        ('<base href="/other/"><a href="/other/foo/">foo</a><a href="/simple/bar/">bar</a>', ["foo"]),
        ('<a href="a/">a<a href="b/">b<a href="c/">c', ["a", "b", "c"]),
        ('<!-- <a href="a/">a</a> --><script>"<a href=b/>b</a>"</script>', []),
        ('<a href="x.y/">' + "long " * 500 + "</a>", ["x.y"]),
        ("", []),
    ],
)
def test_names_of_links(document: str, expected: list[str]) -> None:
    assert names(document) == expected
    assert [entry["name"] for entry in read_names(Trickle(document.encode()), HTML, BASE)] == expected


def test_json_that_trickles() -> None:
    stream = Trickle('{"projects": [{"name": "a", "x": "é"}, {"name": "b"}]}'.encode())
    entries = list(read_names(stream, JSON, BASE))
    assert entries == [{"name": "a", "x": "é"}, {"name": "b"}]


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(["{", "}", "[", "]", ",", ":", '"projects"', '"name"', '"a"', '"meta"', "1", "1e999", "null"]),
        max_size=20,
    ).map(lambda parts: "".join(["{", *parts]).encode()),
    st.sampled_from([JSON, HTML]),
)
@settings(deadline=None, max_examples=500)
def test_any_bytes(body: bytes, content_type: str) -> None:
    try:
        entries = read(body, content_type)
    except BadInput as error:
        assert str(error)
    else:
        as_json(*entries)


def test_deeply_nested_json() -> None:
    deep = b'{"projects":[{"name":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}]}"
    assert as_json(*read(deep)) == {"meta": {"api-version": "1.4"}, "projects": [{"name": "a"}]}


# writing


def test_json_as_written() -> None:
    entries: list[dict[str, object]] = [
        {"name": "Foo.Bar", "_last-serial": 3},
        {"name": "foo_bar"},
        {"name": "../"},
        {},
        {"name": "b"},
    ]
    assert as_json(*entries, serial=7) == {
        "meta": {"api-version": "1.4", "_last-serial": 7},
        "projects": [{"name": "Foo.Bar", "_last-serial": 3}, {"name": "b"}],
    }
    assert as_json() == {"meta": {"api-version": "1.4"}, "projects": []}


def test_a_value_that_cannot_be_written_does_not_lose_the_project() -> None:
    assert as_json({"name": "a", "x": 2**70})["projects"] == [{"name": "a"}]


def test_html_as_written() -> None:
    out = io.BytesIO()
    write_html([{"name": "Foo.Bar"}, {"name": "foo_bar"}, {"name": "<b>"}, {"name": "b"}], out)
    page = LexborHTMLParser(out.getvalue())
    assert out.getvalue().startswith(b"<!DOCTYPE html>\n")
    assert [(link.attributes, link.text()) for link in page.css("a")] == [
        ({"href": "foo-bar/"}, "Foo.Bar"),
        ({"href": "b/"}, "b"),
    ]
    assert names(out.getvalue()) == ["Foo.Bar", "b"]


def test_many_projects_each_once() -> None:
    entries = [{"name": f"p{number % 5000}"} for number in range(15_000)]
    document = as_json(*entries)
    assert document["projects"] == entries[:5000]


# memory


class Generated(io.BytesIO):
    """A long document that is made while it is read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        super().__init__()
        self._parts = parts
        self._ready = b""
        self.length = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert 0 <= size <= 2**20
        if len(self._ready) < size:
            self._ready += b"".join(islice(self._parts, 1000))
        data, self._ready = self._ready[:size], self._ready[size:]
        self.length += len(data)
        return data


class Nowhere(io.BytesIO):
    """Takes bytes and keeps none."""

    length = 0

    def write(self, data: Any) -> int:
        self.length += len(data)
        return len(data)


def json_parts() -> Iterator[bytes]:
    yield b'{"meta":{"api-version":"1.4"},"projects":[{"name":"first"}'
    for number in range(200_000):
        yield b',{"name":"a-project-of-this-number-%d","_last-serial":%d}' % (number, number)
    yield b"]}"


def html_parts() -> Iterator[bytes]:
    yield b"<!DOCTYPE html><html><body>"
    for number in range(50_000):
        yield b'<a href="a-project-of-this-number-%d/">a-project-of-this-number-%d</a>\n' % (number, number)


@pytest.mark.parametrize(("parts", "content_type", "count"), [(json_parts, JSON, 200_001), (html_parts, HTML, 50_000)])
def test_reading_is_flat(parts: Callable[[], Iterator[bytes]], content_type: str, count: int) -> None:
    stream = Generated(parts())
    read_all = 0
    tracemalloc.start()
    try:
        for _ in read_names(stream, content_type, BASE):
            read_all += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_all == count
    assert stream.length > 3_000_000
    assert peak < 2_000_000  # bytes


@pytest.mark.parametrize("html", [False, True])
def test_writing_takes_some_bytes_for_each_project(html: bool) -> None:
    count = 200_000
    entries = ({"name": f"a-project-of-this-number-{number}"} for number in range(count))
    out = Nowhere()
    tracemalloc.start()
    try:
        if html:
            write_html(entries, out)
        else:
            write_json(entries, out, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out.length > 8_000_000
    assert peak < 40 * count  # bytes; a set of the names takes 120 for each
