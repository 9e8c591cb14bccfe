"""A faulty upstream: what a client sees, what is kept, what the operator is told. Files; pages are in test_pages."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ring_two.crowd import Crowd, Visit
from tests.ring_two.harness import Daemon, UpstreamProcess, eventually, fetch, sha256
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

SIZE = 4 * MEBIBYTE


@pytest.fixture
def wheel(upstream: UpstreamProcess) -> Path:
    """A wheel of some size at the upstream."""
    return build_wheel(upstream.root, "thing", "1.0", size=SIZE)


def visit(daemon: Daemon, wheel: Path) -> Visit:
    """Download the wheel through the daemon."""
    return Crowd([daemon.file_url("thing", wheel.name)]).run()[0]


def arrives(daemon: Daemon, wheel: Path) -> None:
    """The wheel comes whole through the daemon, and is kept."""
    seen = visit(daemon, wheel)
    assert (seen.status, seen.error, seen.digest) == (200, None, sha256(wheel)), (seen, daemon.log())
    assert eventually(lambda: [path.name for path, _ in daemon.kept()], "the file is kept") == [wheel.name]
    assert daemon.wrongly_kept() == []
    eventually(lambda: not daemon.spooled(), "the spool is empty")


def nothing_is_kept(daemon: Daemon) -> None:
    """Neither the cache nor the spool has anything."""
    assert list(daemon.kept()) == []
    eventually(lambda: not daemon.spooled(), "the spool is empty")


@pytest.mark.parametrize("times", [1, 3])
def test_a_cut_is_mended_by_range(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, times: int) -> None:
    """The rest is asked for with ``Range`` and ``If-Range``; the client does not notice."""
    upstream.control(rules=[{"path": "*.whl", "cut": 50, "times": times}])
    arrives(daemon, wheel)
    first, *more = upstream.requests(r"\.whl$")
    assert first["range"] is None
    assert [each["status"] for each in more] == [206] * times
    assert all(each["if_range"] for each in more)
    assert sum(each["sent"] for each in [first, *more]) < 2 * SIZE


@pytest.mark.parametrize(
    "fault",
    [
        {"ranges": False},
        {"etag": "weak", "last_modified": False},
        {"etag": "none", "last_modified": False},
        {"etag": "weak"},
    ],
    ids=["no ranges", "weak tag", "no validator", "weak tag and date"],
)
def test_a_cut_is_mended_without_a_safe_range(
    upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: dict[str, object]
) -> None:
    """Where a range cannot be asked for safely, the body starts anew and the client still does not notice."""
    upstream.control(rules=[{"path": "*.whl", **fault}, {"path": "*.whl", "cut": 50, "times": 1}])
    arrives(daemon, wheel)


def test_an_upstream_that_never_delivers_the_end(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.45: the client's connection is cut, a short body is never complete, and a later try succeeds."""
    upstream.control(rules=[{"path": "*.whl", "cut": 0}, {"path": "*.whl", "cut": 50, "times": 1}])
    seen = visit(daemon, wheel)
    assert not seen.complete
    assert seen.got < wheel.stat().st_size
    nothing_is_kept(daemon)
    upstream.control(rules=[])
    assert eventually(lambda: visit(daemon, wheel).complete, "the upstream is asked again", 40)
    assert daemon.wrongly_kept() == []


def test_wrong_bytes_are_never_completed_nor_kept(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.46: the last byte is held back, the connection cut; the log names file, expected and got."""
    upstream.control(rules=[{"path": "*.whl", "corrupt": True}])
    seen = visit(daemon, wheel)
    assert not seen.complete
    nothing_is_kept(daemon)
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (upstream.root.parent / "wrong").write_bytes(content)
    wrong = sha256(upstream.root.parent / "wrong")
    said = [
        line for line in daemon.log().splitlines() if wheel.name in line and sha256(wheel) in line and wrong in line
    ]
    assert said, daemon.log()
    upstream.control(rules=[])
    arrives(daemon, wheel)


def test_ten_clients_on_wrong_bytes(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Nobody of a herd completes a file that is refused."""
    upstream.control(rules=[{"path": "*.whl", "corrupt": True}])
    visits = Crowd([daemon.file_url("thing", wheel.name)] * 10).run()
    assert [each.complete for each in visits if each.status == 200] == [False] * sum(v.status == 200 for v in visits)
    nothing_is_kept(daemon)


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_file_that_is_refused(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, status: int) -> None:
    """An upstream's refusal is an error status before the first byte, 404 or a 503 that says when to come back."""
    upstream.control(rules=[{"path": "*.whl", "status": status}])
    seen = visit(daemon, wheel)
    assert seen.status in ({404, 410} if status == 404 else {404, 403, 502, 503}), daemon.log()
    if seen.status == 503:
        assert int(seen.headers["retry-after"]) >= 1
    nothing_is_kept(daemon)


@pytest.mark.parametrize(
    "fault",
    [{"chunked": True}, {"redirect": True}, {"hashes": ["md5"]}, {"hashes": []}, {"links": "other"}, {"size": False}],
    ids=["chunked", "redirect", "md5", "no hash", "another host", "no size"],
)
def test_unusual_but_right(upstream: UpstreamProcess, daemon: Daemon, wheel: Path, fault: dict[str, object]) -> None:
    """Older and odder indexes work like any other."""
    upstream.control(rules=[{**fault}])
    for _ in ("cold", "warm"):
        seen = visit(daemon, wheel)
        assert (seen.status, seen.error, seen.digest) == (200, None, sha256(wheel)), (seen, daemon.log())


def test_range_and_head_of_a_cold_file(upstream: UpstreamProcess, daemon: Daemon, wheel: Path) -> None:
    """Contract 7.38 to 7.43: right answers although nothing is stored yet."""
    url = daemon.file_url("thing", wheel.name)
    size, content = wheel.stat().st_size, wheel.read_bytes()
    head = fetch(url, method="HEAD")
    assert (head.status, head.headers["content-length"], head.headers["accept-ranges"]) == (200, str(size), "bytes")
    for asked, first, end in (("100-199", 100, 200), ("-10000", size - 10000, size), (f"{size - 5}-", size - 5, size)):
        part = fetch(url, {"Range": f"bytes={asked}"})
        assert (part.status, part.headers["content-range"]) == (206, f"bytes {first}-{end - 1}/{size}")
        assert part.body == content[first:end]
    beyond = fetch(url, {"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")


def test_credentials_stay_with_their_origin(tmp_path: Path, upstream: UpstreamProcess, wheel: Path) -> None:
    """User and password of ``mirror_url`` go to that host and no other, and are shown to nobody."""
    upstream.control(rules=[{"path": "/simple/*", "auth": "reader:s3cret-word", "links": "other"}])
    with Daemon(tmp_path / "daemon", upstream.url.replace("://", "://reader:s3cret-word@")) as daemon:
        arrives(daemon, wheel)
        assert all(each["authorization"] for each in upstream.requests("/simple/thing/"))
        assert [each["authorization"] for each in upstream.requests(r"\.whl$")] == [None]
        shown = daemon.log() + str(daemon.status()) + str(fetch(daemon.index, {"Accept": "application/json"}).body)
        assert "s3cret-word" not in shown


@contextmanager
def small_disk(where: Path, size: int) -> Iterator[bool]:
    """A file system of ``size`` bytes at ``where``; ``False`` if this user may not mount one."""
    libc = ctypes.CDLL(None, use_errno=True)
    where.mkdir(parents=True)
    mounted = libc.mount(b"none", os.fsencode(where), b"tmpfs", 0, f"size={size}".encode()) == 0
    try:
        yield mounted
    finally:
        if mounted:
            libc.umount2(os.fsencode(where), 2)  # MNT_DETACH: whatever may still be open there


def test_a_full_disk_degrades_to_passing_through(tmp_path: Path, upstream: UpstreamProcess) -> None:
    """The client gets the file all the same, and the operator is told that it could not be kept."""
    wheel = build_wheel(upstream.root, "thing", "1.0", size=24 * MEBIBYTE)
    state = tmp_path / "small"
    with small_disk(state, 8 * MEBIBYTE) as mounted, Daemon(tmp_path / "daemon", upstream.url, state=state) as daemon:
        if not mounted:  # then no file of the daemon may grow that large
            limit = (8 * MEBIBYTE, 8 * MEBIBYTE)
            resource.prlimit(daemon.running.process.pid, resource.RLIMIT_FSIZE, limit)
        for run in ("first", "second"):
            seen = visit(daemon, wheel)
            assert (seen.status, seen.error, seen.digest) == (200, None, sha256(wheel)), (run, seen, daemon.log())
        nothing_is_kept(daemon)
        assert daemon.status()["cache"]["full_disk"] is True
        small = build_wheel(upstream.root, "small", "1.0", size=1000)
        assert fetch(daemon.file_url("small", small.name)).body == small.read_bytes()
