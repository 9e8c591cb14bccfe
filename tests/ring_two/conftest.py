"""What the tests of ring two start from: the clients, an upstream with an empty directory, and the daemon before it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ring_two.harness import Daemon, UpstreamProcess
from tests.ring_two.tools import Tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The clients; ``PYPICACHE_TEST_TOOLS`` may name an environment that has them already."""
    given = os.environ.get("PYPICACHE_TEST_TOOLS")
    return Tools(Path(given)) if given else Tools.install(tmp_path_factory.mktemp("tools") / "venv")


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
