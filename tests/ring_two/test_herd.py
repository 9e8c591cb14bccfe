"""Many clients at once: one upstream request, equal bytes for all, bounded memory, nobody refused."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest

from tests.ring_two.crowd import Crowd
from tests.ring_two.harness import JSON_TYPE, Daemon, UpstreamProcess, eventually, sha256
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

CLIENTS = 50
WHEEL = int(os.environ.get("PYPICACHE_TEST_HERD_MEBIBYTES", "20")) * MEBIBYTE
MEMORY = 30 * MEBIBYTE  # by which the daemon may grow
CROWD = 1500


def test_one_download_for_a_herd_on_a_cold_wheel(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """Contract 7.44: one upstream request, identical bytes for all; memory does not grow with clients or size."""
    wheel = build_wheel(upstream.root, "big", "1.0", size=WHEEL)
    url = daemon.file_url("big", wheel.name)
    daemon.forget_peak()
    before = daemon.memory()
    visits = Crowd([url] * CLIENTS).run()
    assert Counter((each.status, each.error, each.got) for each in visits) == {
        (200, None, wheel.stat().st_size): CLIENTS
    }
    assert {each.digest for each in visits} == {sha256(wheel)}
    assert len(upstream.requests(r"/files/.*\.whl$")) == 1
    assert daemon.memory("VmHWM") - before < MEMORY
    assert [path.read_bytes() == wheel.read_bytes() for path, _ in daemon.kept()] == [True]


def test_the_first_bytes_do_not_wait_for_the_last(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """Contract 7.44: every client has the first half while the upstream holds back the second."""
    wheel = build_wheel(upstream.root, "held", "1.0", size=8 * MEBIBYTE)
    size = wheel.stat().st_size
    url = daemon.file_url("held", wheel.name)
    upstream.control(rules=[{"path": "*.whl", "hold": 50}])
    half = threading.Event()

    def release(total: int) -> None:
        if total >= 10 * (size // 2 - 256 * 1024) and not half.is_set():
            half.set()
            upstream.control(release=True)

    visits = Crowd([url] * 10, progress=release).run()
    assert half.is_set()
    assert {(each.status, each.error, each.digest) for each in visits} == {(200, None, sha256(wheel))}


def test_a_client_that_leaves_does_not_stop_the_download(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """Whoever started a download may leave; the file arrives all the same and is kept."""
    wheel = build_wheel(upstream.root, "left", "1.0", size=4 * MEBIBYTE)
    url = daemon.file_url("left", wheel.name)
    upstream.control(rules=[{"path": "*.whl", "hold": 50}])

    def leave(total: int) -> None:
        raise ConnectionAbortedError("leaving")

    assert "leaving" in str(Crowd([url], progress=leave).run()[0].error)
    upstream.control(release=True)
    kept = eventually(lambda: list(daemon.kept()), "the file is kept")
    assert [path.name for path, _ in kept] == [wheel.name]
    assert daemon.wrongly_kept() == []
    assert len(upstream.requests(r"\.whl$")) == 1


def test_a_crowd_on_cold_pages_is_not_refused(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """Contract 7.79: connections at once, each for a page that nobody asked for before."""
    urls = [f"{daemon.simple}load-{number}/" for number in range(CROWD)]
    visits = Crowd(urls, accept=JSON_TYPE).run()
    assert Counter((each.status, each.error) for each in visits) == {(200, None): CROWD}
    assert all(each.complete for each in visits)
    assert Counter(each["path"] for each in upstream.requests("/simple/load-")).most_common(1)[0][1] == 1


def test_a_crowd_on_one_cold_page_asks_once(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """One upstream request for a page, however many ask for it at once."""
    upstream.control(rules=[{"path": "/simple/*", "first_byte": 0.5}])
    visits = Crowd([f"{daemon.simple}load-1/"] * 300, accept=JSON_TYPE).run()
    assert Counter((each.status, each.error) for each in visits) == {(200, None): 300}
    assert len({each.digest for each in visits}) == 1
    assert len(upstream.requests("/simple/load-1/")) == 1


def test_a_slow_client_slows_nobody(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """A client that reads nothing after its first bytes does not hold up the one beside it."""
    wheel = build_wheel(upstream.root, "slow", "1.0", size=WHEEL)
    url = daemon.file_url("slow", wheel.name)
    stuck = threading.Event()
    gone = threading.Event()

    def stall(total: int) -> None:
        stuck.set()
        gone.wait(60)

    lazy = threading.Thread(target=lambda: Crowd([url], progress=stall).run())
    lazy.start()
    try:
        assert stuck.wait(30)
        assert [each.digest for each in Crowd([url] * 3).run()] == [sha256(wheel)] * 3
    finally:
        gone.set()
        lazy.join(60)
