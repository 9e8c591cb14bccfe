"""The faulty upstream itself: a fault that does not happen would make the other tests of this ring worthless."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest

from tests.ring_two.crowd import Crowd, Visit
from tests.ring_two.harness import JSON_TYPE, Answer, UpstreamProcess, fetch, sha256
from tests.upstream.dists import build_wheel

pytestmark = pytest.mark.daemon


@pytest.fixture
def wheel(upstream: UpstreamProcess) -> Path:
    """A wheel at the upstream."""
    return build_wheel(upstream.root, "thing", "1.0", size=1_000_000)


def page(upstream: UpstreamProcess) -> Answer:
    """The page of the wheel's project."""
    return fetch(f"{upstream.url}thing/", {"Accept": JSON_TYPE, "Accept-Encoding": "gzip"})


def download(upstream: UpstreamProcess, wheel: Path, **switches: object) -> Visit:
    """The wheel, with switches set."""
    upstream.control(rules=[{"path": "*.whl", **switches}])
    return Crowd([f"http://127.0.0.1:{upstream.port}/files/{wheel.name}"]).run()[0]


@pytest.mark.parametrize("rate", [None, 50_000_000])
def test_cuts_and_alters_bodies(upstream: UpstreamProcess, wheel: Path, rate: int | None) -> None:
    """The faults of a body, on the quick path and on the paced one."""
    size = wheel.stat().st_size
    whole = download(upstream, wheel, rate=rate)
    assert (whole.complete, whole.digest) == (True, sha256(wheel))
    cut = download(upstream, wheel, rate=rate, cut=25)
    assert (cut.promised, cut.got) == (size, size * 25 // 100)
    assert download(upstream, wheel, rate=rate, cut=0).got == 0
    wrong = download(upstream, wheel, rate=rate, corrupt=True)
    assert wrong.complete
    assert wrong.digest != sha256(wheel)
    chunked = download(upstream, wheel, rate=rate, chunked=True)
    assert chunked.promised is None
    assert chunked.got > size


def test_a_rule_is_used_up(upstream: UpstreamProcess, wheel: Path) -> None:
    """``times`` counts requests, and the log knows all of them."""
    url = f"http://127.0.0.1:{upstream.port}/files/{wheel.name}"
    upstream.control(rules=[{"path": "*.whl", "status": 500, "times": 2}])
    assert [fetch(url).status for _ in range(3)] == [500, 500, 200]
    assert [each["status"] for each in upstream.requests(r"\.whl$")] == [500, 500, 200]
    assert upstream.requests(r"\.whl$")[-1]["sent"] == wheel.stat().st_size


def test_holds_until_released(upstream: UpstreamProcess, wheel: Path) -> None:
    """Half of the body comes, and the rest only after a word."""
    seen: list[int] = []

    def half(total: int) -> None:
        seen.append(total)
        if total == wheel.stat().st_size // 2:
            upstream.control(release=True)

    upstream.control(rules=[{"path": "*.whl", "hold": 50}])
    (visit,) = Crowd([f"http://127.0.0.1:{upstream.port}/files/{wheel.name}"], progress=half).run()
    assert visit.complete
    assert wheel.stat().st_size // 2 in seen


def test_is_slow(upstream: UpstreamProcess, wheel: Path) -> None:
    """A late first byte and a slow body take the time that they should."""
    began = time.monotonic()
    assert download(upstream, wheel, first_byte=0.2, rate=4_000_000).complete
    assert time.monotonic() - began > 0.4


def test_ranges(upstream: UpstreamProcess, wheel: Path) -> None:
    """Ranges with their conditions, RFC 9110 sections 13.1.5 and 14."""
    url = f"http://127.0.0.1:{upstream.port}/files/{wheel.name}"
    content = wheel.read_bytes()
    tag = fetch(url, method="HEAD").headers["etag"]
    part = fetch(url, {"Range": "bytes=10-19", "If-Range": tag})
    assert (part.status, part.body) == (206, content[10:20])
    assert fetch(url, {"Range": "bytes=-7"}).body == content[-7:]
    assert fetch(url, {"Range": "bytes=10-19", "If-Range": '"other"'}).status == 200
    assert fetch(url, {"Range": f"bytes={len(content)}-"}).status == 416
    assert fetch(url, {"If-None-Match": tag}).status == 304
    upstream.control(rules=[{"etag": "weak"}])
    assert fetch(url, {"Range": "bytes=10-19", "If-Range": "W/" + tag}).status == 200
    upstream.control(rules=[{"ranges": False}])
    plain = fetch(url, {"Range": "bytes=10-19"})
    assert (plain.status, "accept-ranges" in plain.headers) == (200, False)


def test_pages(upstream: UpstreamProcess, wheel: Path) -> None:
    """What a page says and leaves out."""
    (listed,) = page(upstream).json()["files"]
    assert (listed["size"], listed["hashes"]) == (wheel.stat().st_size, {"sha256": sha256(wheel)})
    upstream.control(rules=[{"size": False, "hashes": ["md5"], "upload_time": False, "links": "relative", "serial": 7}])
    answer = page(upstream)
    (listed,) = answer.json()["files"]
    assert set(listed) == {"filename", "url", "hashes", "core-metadata"}
    assert (listed["url"], list(listed["hashes"])) == (f"../../files/{wheel.name}", ["md5"])
    assert answer.headers["x-pypi-last-serial"] == "7"
    upstream.control(rules=[{"html": True, "base_href": True}], files={wheel.name: {"yanked": "a <b>"}})
    html = page(upstream)
    assert html.headers["content-type"] == "text/html"
    assert f'href="{wheel.name}#sha256={sha256(wheel)}"'.encode() in html.body
    assert b'data-yanked="a &lt;b&gt;"' in html.body
    assert b"<base href=" in html.body


def test_pages_that_hurt(upstream: UpstreamProcess, wheel: Path) -> None:
    """A bomb unpacks to what was asked for and is a right page; padding and hostile entries are there."""
    upstream.control(rules=[{"bomb": 20_000_000}])
    bomb = page(upstream)
    assert len(bomb.body) < 100_000
    unpacked = gzip.decompress(bomb.body)
    assert len(unpacked) > 20_000_000
    assert json.loads(unpacked)["name"] == "thing"
    upstream.control(rules=[{"padding": 3_000_000}])
    padded = page(upstream)
    assert len(padded.body) > 3_000_000
    assert padded.json()["name"] == "thing"
    upstream.control(rules=[{"hostile": True}])
    assert "../../x" in [each["filename"] for each in page(upstream).json()["files"]]


def test_access_and_redirects(upstream: UpstreamProcess, wheel: Path) -> None:
    """Basic authentication, and another origin for the same paths."""
    upstream.control(rules=[{"auth": "me:pw"}])
    assert page(upstream).status == 401
    assert fetch(f"{upstream.url}thing/", {"Authorization": "Basic bWU6cHc="}).status == 200
    upstream.control(rules=[{"redirect": True}])
    moved = page(upstream)
    assert moved.status == 302
    assert fetch(moved.headers["location"]).status == 200


def test_an_unknown_switch_is_refused(upstream: UpstreamProcess) -> None:
    """A misspelt fault is not silently no fault."""
    with pytest.raises(AssertionError, match="no such switch: ctu"):
        upstream.control(rules=[{"ctu": 50}])
