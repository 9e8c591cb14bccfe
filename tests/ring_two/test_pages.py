"""A faulty upstream: pages that cannot be had, that hurt, or that are written in unusual ways."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.ring_two.crowd import Crowd
from tests.ring_two.harness import JSON_TYPE, Daemon, UpstreamProcess, eventually, fetch, sha256
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

ASK_AGAIN = {"Cache-Control": "no-cache"}
MEMORY = 256 * MEBIBYTE  # by which the daemon may grow, whatever the upstream sends
FAILURES: Mapping[str, Mapping[str, object]] = {
    "403": {"status": 403},
    "429": {"status": 429, "retry_after": "7"},
    "500": {"status": 500},
    "503 with a date": {"status": 503, "retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"},
    "cut": {"cut": 50},
    "gzip bomb": {"bomb": 1 << 29},
}


@pytest.fixture
def wheel(upstream: UpstreamProcess) -> Path:
    """A small wheel at the upstream."""
    return build_wheel(upstream.root, "thing", "1.0", size=1000)


@pytest.mark.parametrize("fault", FAILURES)
def test_a_remembered_page_outlives_failures(
    upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: str
) -> None:
    """Contract 7.49: known before, so served, stale, even to a client that wants it fresh."""
    before = daemon.page("thing")
    assert before.status == 200
    upstream.control(rules=[{"path": "/simple/*", **FAILURES[fault]}])
    after = daemon.page("thing", ASK_AGAIN)
    assert (after.status, after.body) == (200, before.body), daemon.log()
    assert len(upstream.requests("/simple/thing/")) > 1


# Not 403: some stores of files say that where a project does not exist, and the daemon takes it so.
@pytest.mark.parametrize("fault", [fault for fault in FAILURES if fault != "403"])
def test_an_unknown_page_is_not_said_to_be_missing(
    upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: str
) -> None:
    """Contract 0.11 and 7.49: 503 with whole seconds in ``Retry-After``, never 404; and it recovers."""
    upstream.control(rules=[{"path": "/simple/*", **FAILURES[fault]}])
    for accept in (JSON_TYPE, "text/html"):
        answer = daemon.page("thing", {"Accept": accept})
        assert answer.status == 503, daemon.log()
        assert int(answer.headers["retry-after"]) >= 1
    upstream.control(rules=[])
    eventually(lambda: daemon.page("thing").status == 200, "the upstream is asked again", 40)


def test_an_upstream_that_is_gone(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Refused connections: what is known is served, what is not is a 503; health goes on."""
    url = daemon.file_url("thing", wheel.name)
    assert fetch(url).status == 200
    upstream.stop()
    assert daemon.page("thing", ASK_AGAIN).status == 200
    assert fetch(url).body == wheel.read_bytes()
    unknown = daemon.page("never-seen")
    assert (unknown.status, int(unknown.headers["retry-after"]) >= 1) == (503, True)
    assert fetch(f"{daemon.url}/+health/ready").status == 200
    upstream.start()
    eventually(lambda: daemon.page("never-seen").status == 404, "the upstream is asked again", 40)


def test_unknown_projects_are_404(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """Contract 7.48: said only because the upstream says so, and asked once for many clients."""
    assert [daemon.page("nothing").status for _ in range(3)] == [404] * 3
    assert len(upstream.requests("/simple/nothing/")) == 1


def test_a_slow_upstream_does_not_hold_up_a_known_page(tmp_path: Path, upstream: UpstreamProcess, wheel: Path) -> None:
    """Slower than ``request_timeout``: the remembered page is served, the answer awaited in the background."""
    with Daemon(tmp_path / "daemon", upstream.url, server={"request_timeout": 1}) as daemon:
        before = daemon.page("thing")
        upstream.control(rules=[{"path": "/simple/*", "first_byte": 20}])
        began = time.monotonic()
        after = daemon.page("thing", ASK_AGAIN)
        assert time.monotonic() - began < 10
        assert (after.status, after.body) == (200, before.body)


def test_a_page_without_end(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """It is given up, in bounded memory, and others are served meanwhile."""
    upstream.control(rules=[{"path": "/simple/bad/", "endless": True}], pages={"bad": [JSON_TYPE, "{}"]})
    daemon.forget_peak()
    before = daemon.memory()
    assert daemon.page("bad").status == 503, daemon.log()
    assert daemon.memory("VmHWM") - before < MEMORY
    assert daemon.page("thing").status == 200


@pytest.mark.parametrize("fault", [{"bomb": 1 << 29}, {"padding": 500 * MEBIBYTE}], ids=["gzip bomb", "500 MiB"])
def test_a_page_too_large(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: dict[str, object]) -> None:
    """Refused with 503, in bounded memory."""
    upstream.control(rules=[{"path": "/simple/thing/", **fault}])
    daemon.forget_peak()
    before = daemon.memory()
    assert daemon.page("thing").status == 503, daemon.log()
    assert daemon.memory("VmHWM") - before < MEMORY


def links(daemon: Daemon, project: str) -> dict[str, str]:
    """File name -> URL as the JSON page has it, after checking that none leaves the daemon's index (contract 7.18)."""
    page = daemon.page(project)
    assert page.status == 200, daemon.log()
    files: list[dict[str, Any]] = page.json()["files"]
    for each in files:
        assert re.fullmatch(r"/root/pypi/\+[ef]/[^\s\"<>]+", each["url"].removeprefix(daemon.url)), each
    return {each["filename"]: each["url"] for each in files}


@pytest.mark.parametrize("kind", ["json", "html"])
def test_hostile_names_and_links(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, kind: str) -> None:
    """No name becomes a path, no link leaves the index, no tag reaches a browser; the good file stays usable."""
    upstream.control(rules=[{"hostile": True}, {"path": "/simple/*", "html": kind == "html"}])
    listed = links(daemon, "thing")
    for name, url in listed.items():
        assert "/" not in name
        assert not re.search(r"[\x00-\x1f]", name)
        (visit,) = Crowd([url if "://" in url else daemon.url + url]).run()
        assert visit.status in {404, 502, 503} or visit.complete == (name == wheel.name)
    assert fetch(daemon.file_url("thing", wheel.name)).body == wheel.read_bytes()
    html = daemon.page("thing", {"Accept": "text/html"}).body
    assert b"<script" not in html
    assert b"javascript:" not in html
    outside = [path for path in daemon.state.rglob("*") if path.is_file() and path.name in {"x", "passwd"}]
    assert outside == []
    assert eventually(lambda: [path.name for path, _ in daemon.kept()], "the file is kept") == [wheel.name]


@pytest.mark.parametrize(
    "path",
    [
        "/root/pypi/+f/../../../../etc/passwd",
        "/root/pypi/+f/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/root/pypi/+f/aaa/bbbbbbbbbbbbb/..%2f..%2f..%2f..%2f..%2fsecret",
        "/root/pypi/+simple/..%2f..%2fx/",
        "/root/pypi/+simple/%3Cscript%3E/",
        "/root/pypi/+simple/%00/",
        "/root/pypi/+simple/%FF%FE/",
        "/root/pypi/+simple/" + "x" * 3000 + "/",
    ],
)
def test_hostile_requests(daemon: Daemon, path: str) -> None:
    """An error that is the client's own, with nothing of the server in it."""
    answer = fetch(daemon.url + path)
    assert 400 <= answer.status < 500, (answer, daemon.log())
    assert b"root:" not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"<script>" not in answer.body or answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("kind", ["json", "html"])
@pytest.mark.parametrize("style", ["root", "relative", "other", "base"])
def test_links_of_every_style(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, style: str, kind: str) -> None:
    """Contract 7.18: relative to page or root, on another host, or below ``<base href>``: all are resolved."""
    given: dict[str, object] = {"base_href": True} if style == "base" else {"links": style}
    upstream.control(rules=[{"html": kind == "html" or style == "base", **given}])
    assert list(links(daemon, "thing")) == [wheel.name]
    assert fetch(daemon.file_url("thing", wheel.name)).body == wheel.read_bytes()


@pytest.mark.parametrize(
    "fault",
    [{"gzip": True}, {"unknown_keys": True}, {"redirect": True}, {"etag": "weak"}, {"etag": "none"}, {"chunked": True}],
    ids=["gzip", "unknown keys", "redirect", "weak tag", "no tag", "chunked"],
)
def test_unusual_but_right(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: dict[str, object]) -> None:
    """Contract 7.21 and others: the page is served, and can be asked for again."""
    upstream.control(rules=[{"path": "/simple/*", **fault}])
    assert list(links(daemon, "thing")) == [wheel.name]
    build_wheel(upstream.root, "thing", "2.0")
    fresh = daemon.page("thing", ASK_AGAIN).json()
    assert sorted(fresh["versions"]) == ["1.0", "2.0"]


def test_keys_that_are_not_known_are_left_out(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 0.3 and 7.11: no nulls, and an api-version that allows the page to lack sizes."""
    upstream.control(rules=[{"size": False, "upload_time": False, "core_metadata": False}])
    page = daemon.page("thing").json()
    (listed,) = page["files"]
    assert not {"size", "upload-time"} & set(listed)
    assert None not in listed.values()
    assert page["meta"]["api-version"] == "1.0"


def test_every_key_is_handed_on(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.10 to 7.16 and 7.22: what the upstream says of a file is said to clients."""
    said = {"yanked": "because", "upload-time": "2024-05-06T07:08:09.123456Z"}
    rules = [{"provenance": True, "project_status": "archived"}]
    upstream.control(rules=rules, files={wheel.name: said})
    page = daemon.page("thing").json()
    (listed,) = page["files"]
    assert (listed["yanked"], listed["upload-time"]) == ("because", "2024-05-06T07:08:09.123456Z")
    assert (listed["size"], listed["hashes"]["sha256"]) == (wheel.stat().st_size, sha256(wheel))
    assert listed["core-metadata"] == listed["dist-info-metadata"]
    assert "provenance" in listed
    assert page["project-status"]["status"] == "archived"
    metadata = fetch(daemon.file_url("thing", wheel.name) + ".metadata")
    assert metadata.body.startswith(b"Metadata-Version: 2.1\nName: thing\n")


def test_a_quarantined_project_offers_no_files(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.13: the page stays, its files do not, not even those that are kept."""
    url = daemon.file_url("thing", wheel.name)
    assert fetch(url).status == 200
    upstream.control(rules=[{"path": "/simple/*", "project_status": "quarantined"}])
    page = daemon.page("thing", ASK_AGAIN)
    assert (page.status, page.json()["files"]) == (200, [])
    assert fetch(url).status in {403, 404, 410}


def test_a_serial_that_goes_backwards(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.34: an older page of a lagging upstream does not replace a newer one."""
    upstream.control(rules=[{"serial": 100}])
    before = daemon.page("thing").json()
    build_wheel(upstream.root, "thing", "2.0")
    upstream.control(rules=[{"serial": 90}])
    assert daemon.page("thing", ASK_AGAIN).json()["versions"] == before["versions"]
    upstream.control(rules=[{"serial": 101}])
    assert sorted(daemon.page("thing", ASK_AGAIN).json()["versions"]) == ["1.0", "2.0"]


def test_a_page_that_is_not_a_page(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Broken JSON, a list, a type that no index sends: a 503, or the page that is remembered."""
    assert daemon.page("thing").status == 200
    for kind, text in ((JSON_TYPE, "{"), (JSON_TYPE, json.dumps([1])), (JSON_TYPE, ""), ("text/plain", "busy")):
        upstream.control(pages={"thing": [kind, text], "other": [kind, text]})
        assert list(links(daemon, "thing")) == [wheel.name]
        assert daemon.page("thing", ASK_AGAIN).status == 200
        assert daemon.page("other").status == 503, (kind, text, daemon.log())
