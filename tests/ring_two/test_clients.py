"""The real clients install from the daemon, and again from its cache when the upstream is gone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ring_two.harness import Daemon, UpstreamProcess
from tests.ring_two.tools import WAYS, Tools, new_project
from tests.upstream.dists import build_sdist, build_wheel

pytestmark = pytest.mark.daemon

PAGES: Mapping[str, Mapping[str, object]] = {"json": {}, "html": {"html": True}}


@pytest.fixture
def stocked(upstream: UpstreamProcess) -> UpstreamProcess:
    """An upstream with a project that needs another one."""
    build_wheel(upstream.root, "Demo.App", "1.0", requires=["leaf>=1"])
    build_wheel(upstream.root, "Demo.App", "1.1", size=300_000, requires=["leaf>=1"])
    build_wheel(upstream.root, "leaf", "1.5")
    return upstream


def version_of(site: Path, package: str) -> str:
    """The version of a package that :mod:`tests.upstream.dists` made, as installed."""
    found = re.search(r'"(.*)"', (site / package / "__init__.py").read_text())
    assert found is not None
    return found[1]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("way", WAYS)
def test_installs_with_dependencies_then_without_upstream(
    tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path, way: str, page: str
) -> None:
    """Contract 3.1, 4.1, 5.1: page, metadata, wheel; the second client on an empty cache needs no upstream."""
    stocked.control(rules=[{"path": "/simple/*", **PAGES[page]}])
    for run in ("first", "second"):
        site = WAYS[way](tools, tmp_path / run, daemon.index, daemon.simple, "demo-app")
        assert (version_of(site, "demo_app"), version_of(site, "leaf")) == ("1.1", "1.5"), run
        stocked.stop()
    assert daemon.wrongly_kept() == []


@pytest.mark.parametrize("command", ["download", "wheel"])
def test_pip_without_installing(
    tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path, command: str
) -> None:
    """``pip download`` and ``pip wheel`` get the bytes that the upstream has."""
    for run in ("first", "second"):
        home = tmp_path / run
        tools.run(home, "pip", command, "--isolated", "-i", daemon.simple, "demo-app").ok()
        for wheel in ("demo_app-1.1-py3-none-any.whl", "leaf-1.5-py3-none-any.whl"):
            assert (home / wheel).read_bytes() == (stocked.root / wheel).read_bytes()
        stocked.stop()


@pytest.mark.parametrize("way", ["pip", "uv"])
def test_builds_an_sdist(tools: Tools, upstream: UpstreamProcess, daemon: Daemon, tmp_path: Path, way: str) -> None:
    """A project that has only an sdist is fetched and built; ``.tar.gz`` is no content coding."""
    build_sdist(upstream.root, "source-only", "2.0", requires=["leaf"])
    build_wheel(upstream.root, "leaf", "1.5")
    for run in ("first", "second"):
        site = WAYS[way](tools, tmp_path / run, daemon.index, daemon.simple, "source-only")
        assert version_of(site, "source_only") == "2.0"
        upstream.stop()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("way", ["pip", "uv", "poetry"])
def test_skips_what_is_yanked_or_for_another_python(
    tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path, way: str, page: str
) -> None:
    """Contract 1.7 and 3.4: a yank and ``requires-python`` reach the client."""
    build_wheel(stocked.root, "demo-app", "2.0")
    if way != "poetry":  # which takes the newest release, and only then finds that no Python suits it
        build_wheel(stocked.root, "demo-app", "3.0", extra=["Requires-Python: >=3.99"])
    yanked = {"demo_app-2.0-py3-none-any.whl": {"yanked": 'broken "badly" <3'}}
    stocked.control(rules=[{"path": "/simple/*", **PAGES[page]}], files=yanked)
    site = WAYS[way](tools, tmp_path / "home", daemon.index, daemon.simple, "demo-app")
    assert version_of(site, "demo_app") == "1.1"


def test_pip_installs_a_yanked_release_that_is_pinned_and_says_why(
    tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path
) -> None:
    """Contract 3.4: the reason of a yank is shown."""
    stocked.control(files={"demo_app-1.0-py3-none-any.whl": {"yanked": "broken & bad"}})
    output = tools.pip(tmp_path / "home", daemon.simple, "demo-app==1.0").ok()
    assert "broken & bad" in output


def test_pip_uploaded_prior_to(tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path) -> None:
    """Contract 3.9: ``upload-time`` of every file reaches pip; without it the option is an error."""
    stocked.control(files={"demo_app-1.1-py3-none-any.whl": {"upload-time": "2025-02-03T04:05:06.789Z"}})
    for run in ("first", "second"):
        tools.pip(tmp_path / run, daemon.simple, "--uploaded-prior-to", "2024-06-01", "demo-app").ok()
        assert version_of(tmp_path / run / "site", "demo_app") == "1.0"
        stocked.stop()


def test_uv_lock_with_exclude_newer(tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path) -> None:
    """Contract 4.6: what was uploaded later is not locked; the lock file points to the daemon alone."""
    stocked.control(files={"demo_app-1.1-py3-none-any.whl": {"upload-time": "2025-02-03T04:05:06.789Z"}})
    index = f'[[tool.uv.index]]\nname = "cache"\nurl = "{daemon.simple}"\ndefault = true\n'
    settings = f'[tool.uv]\nexclude-newer = "2024-06-01T00:00:00Z"\n{index}'
    for run in ("first", "second"):
        project = new_project(tmp_path / run, settings, '["demo-app"]')
        tools.run(tmp_path / run, "uv", "lock", cwd=project).ok()
        lock = (project / "uv.lock").read_text()
        assert 'name = "demo-app"\nversion = "1.0"' in lock
        addresses = set(re.findall(r"http://127\.0\.0\.1:\d+", lock))
        assert addresses == {daemon.url}
        stocked.stop()


def test_new_release_is_seen_when_a_client_refreshes(
    tools: Tools, stocked: UpstreamProcess, daemon: Daemon, tmp_path: Path
) -> None:
    """Contract 7.30: ``uv --refresh`` reaches the upstream although the page is still fresh."""
    tools.uv(tmp_path / "home", daemon.simple, "demo-app").ok()
    build_wheel(stocked.root, "demo-app", "4.0")
    tools.uv(tmp_path / "home", daemon.simple, "--refresh", "--upgrade", "demo-app").ok()
    assert version_of(tmp_path / "home" / "site", "demo_app") == "4.0"
