"""The daemon is killed in the middle of downloads, again and again; what it keeps is right every time."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.ring_two.crowd import Crowd
from tests.ring_two.harness import Daemon, UpstreamProcess, eventually, sha256
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

KILLS = int(os.environ.get("PYPICACHE_TEST_KILLS", "8"))
SIZES = (0, 1_000, 70_000, 300_000, 1 * MEBIBYTE, 3 * MEBIBYTE)  # of the wheels of one round, bytes of payload


def stock(root: Path, number: int) -> dict[str, Path]:
    """New wheels, so that each round has something cold; project -> wheel."""
    return {
        f"round{number}-{each}": build_wheel(root, f"round{number}-{each}", "1.0", size=size)
        for each, size in enumerate(SIZES)
    }


def test_killed_in_the_middle_of_downloads(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """A file under its own path is whole and right; nothing is left over; what was lost is fetched again."""
    chance = random.Random(2024)  # noqa: S311 - the same moments in each run
    wheels: dict[str, Path] = {}
    for number in range(KILLS):
        new = stock(upstream.root, number)
        wheels |= new
        urls = [daemon.file_url(project, wheel.name) for project, wheel in new.items()]
        total = sum(wheel.stat().st_size for wheel in new.values())
        moment = int(total * chance.random())
        process = daemon.running.process

        def kill(got: int, moment: int = moment, pid: int = process.pid) -> None:
            if got >= moment:
                os.kill(pid, signal.SIGKILL)

        Crowd(urls, progress=kill).run()
        assert process.wait(20) == -signal.SIGKILL
        assert daemon.wrongly_kept() == [], f"round {number}, killed after {moment} of {total} bytes"
        daemon.start()
        assert daemon.spooled() == [], f"round {number}, killed after {moment} of {total} bytes"
        assert daemon.wrongly_kept() == []
    again = Crowd([daemon.file_url(project, wheel.name) for project, wheel in wheels.items()]).run()
    assert [each.digest for each in again] == [sha256(wheel) for wheel in wheels.values()]
    wanted = sorted(wheel.name for wheel in wheels.values())
    eventually(lambda: sorted(path.name for path, _ in daemon.kept()) == wanted, "all files are kept")


def test_killed_with_a_download_under_way(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """The half that had arrived is cleared away at the next start, and the download begins anew."""
    wheel = build_wheel(upstream.root, "half", "1.0", size=4 * MEBIBYTE)
    url = daemon.file_url("half", wheel.name)
    upstream.control(rules=[{"path": "*.whl", "hold": 50}])

    def kill(got: int) -> None:
        if daemon.running.process.poll() is None and got > MEBIBYTE:
            daemon.kill()

    (cut,) = Crowd([url], progress=kill).run()
    assert not cut.complete
    assert list(daemon.kept()) == []
    upstream.control(rules=[])
    daemon.start()
    assert daemon.spooled() == []
    (whole,) = Crowd([url]).run()
    assert whole.digest == sha256(wheel)


def test_remembers_pages_after_a_kill(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """What was served once is served after a power cut, without the upstream."""
    wheel = build_wheel(upstream.root, "kept", "1.0", size=100_000)
    url = daemon.file_url("kept", wheel.name)
    assert Crowd([url]).run()[0].digest == sha256(wheel)
    eventually(lambda: list(daemon.kept()), "the file is kept")
    daemon.kill()
    upstream.stop()
    daemon.start()
    assert daemon.file_url("kept", wheel.name) == url
    assert Crowd([url]).run()[0].digest == sha256(wheel)


def test_ends_in_good_order_when_told_to(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """SIGTERM with a download under way: the process ends soon, with status 0, and leaves nothing half done."""
    wheel = build_wheel(upstream.root, "ended", "1.0", size=4 * MEBIBYTE)
    url = daemon.file_url("ended", wheel.name)
    upstream.control(rules=[{"path": "*.whl", "hold": 50}])

    told: list[int] = []

    def end(got: int) -> None:
        if got > MEBIBYTE and not told:
            told.append(got)  # once: a second signal may find a process that has no handler any more
            daemon.running.process.send_signal(signal.SIGTERM)
            upstream.control(release=True)

    Crowd([url], progress=end).run()
    assert daemon.running.process.wait(20) == 0
    assert daemon.wrongly_kept() == []
    assert daemon.spooled() == []
