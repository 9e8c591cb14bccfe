"""What the tests of ring two start from: the clients, an upstream with an empty directory, and the daemon before it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from tests.ring_two.harness import Daemon, UpstreamProcess
from tests.ring_two.tools import Tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The clients, made once for all processes that run tests.

    ``PYPICACHE_TEST_TOOLS`` may name an environment that has them already.
    """
    given = os.environ.get("PYPICACHE_TEST_TOOLS")
    if given:
        return Tools(Path(given))
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    place, done = shared / "tools", shared / "tools.done"
    with (shared / "tools.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not done.exists():
            Tools.install(place)
            done.touch()
    return Tools(place)


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[UpstreamProcess]:
    """A running upstream; what is put into its ``root`` is served from then on."""
    root = tmp_path / "served"
    root.mkdir()
    with UpstreamProcess(root, tmp_path / "upstream.log") as running:
        yield running


@pytest.fixture
def daemon(tmp_path: Path, upstream: UpstreamProcess) -> Iterator[Daemon]:
    """A running daemon whose ``root/pypi`` mirrors the upstream."""
    with Daemon(tmp_path / "daemon", upstream.url) as running:
        yield running
