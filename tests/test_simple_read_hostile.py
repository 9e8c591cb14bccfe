"""Pages of the simple API from somebody hostile: whatever the bytes, it is a page or BadInput, and soon."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypicache.core.errors import BadInput
from pypicache.core.simple_read import parse_page
from tests.test_simple_read import BASE, FOO, HTML, JSON, SHA256, WHEEL, page, read

CONTENT_TYPES = st.sampled_from([JSON, HTML, "application/json", "text/html;charset=hex", "", "x/y"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner), max_leaves=8
)
KEYS = st.sampled_from(
    [
        "filename",
        "url",
        "hashes",
        "size",
        "upload-time",
        "yanked",
        "requires-python",
        "core-metadata",
        "gpg-sig",
        "provenance",
        "x",
    ]
)
VALID = page(
    {"filename": WHEEL, "url": WHEEL, "hashes": {"sha256": SHA256}, "yanked": "é", "size": 3, "core-metadata": True},
    versions=["1.0"],
)
VALID_HTML = f'<!DOCTYPE html><base href="x/"><a href="{WHEEL}#sha256={SHA256}" data-yanked="&lt;">x</a>'.encode()


def answers(body: bytes, content_type: str, base_url: str = BASE) -> None:
    """Read a page, or be told that it is none."""
    try:
        parse_page(body, content_type, base_url, FOO)
    except BadInput as error:
        assert str(error)


@given(st.binary(max_size=300), CONTENT_TYPES)
@settings(deadline=None)
def test_any_bytes(body: bytes, content_type: str) -> None:
    answers(body, content_type)


@given(
    st.sampled_from([VALID, VALID_HTML]),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 9), st.binary(max_size=9)), max_size=4),
    CONTENT_TYPES,
)
@settings(deadline=None, max_examples=500)
def test_damaged_pages(body: bytes, changes: list[tuple[int, int, bytes]], content_type: str) -> None:
    for at, length, data in changes:
        body = body[:at] + data + body[at + length :]
    answers(body, content_type)


@given(st.dictionaries(KEYS, VALUES), VALUES, VALUES, VALUES, VALUES)
@settings(deadline=None)
def test_any_value_anywhere(
    entry: dict[str, object], name: object, versions: object, status: object, meta: object
) -> None:
    document = {
        "meta": meta,
        "versions": versions,
        "name": name,
        "project-status": status,
        "files": [entry, {"filename": WHEEL, "url": WHEEL, **entry}, name],
    }
    answers(json.dumps(document).encode(), JSON)


@given(st.text(max_size=60), st.text(max_size=30))
@settings(deadline=None)
def test_any_address(href: str, base: str) -> None:
    quoted = href.replace('"', "").replace("&", "")
    answers(f'<base href="{base}"><a href="{quoted}.zip" data-provenance="{quoted}">'.encode("utf-8", "replace"), HTML)
    answers(page({"filename": WHEEL, "url": href, "provenance": base}), JSON)


@pytest.mark.parametrize(
    "body", [b"[" * 1_000_000, b'{"files":' + b"[" * 500_000, b'{"a":' * 300_000, b'{"files":[' + b'{"a":' * 1000]
)
def test_deeply_nested_json(body: bytes) -> None:
    with pytest.raises(BadInput):
        read(body)


@pytest.mark.parametrize("unit", ["<div>", "<a href=x.zip>", "<font x={}>", "<!-- -", "<a href='x.zip"])
def test_deeply_nested_html_takes_linear_time(unit: str) -> None:
    start = time.process_time()
    read("".join(unit.format(number) for number in range(100_000)), HTML)
    assert time.process_time() - start < 20  # seconds; a tree of these takes minutes
