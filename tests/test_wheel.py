"""What is built is what is needed: a wheel, installed elsewhere, is found by twistd and has everything in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from pypicache import __version__

pytestmark = pytest.mark.daemon

TREE = Path(__file__).resolve().parent.parent
BUILT = ("pypicache", "twisted", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE")


def said(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it must succeed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYPICACHE_"))}
    done = subprocess.run(  # noqa: S603  # commands of this module
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy, so that nothing is left behind here or taken from an earlier build."""
    place = tmp_path_factory.mktemp("built")
    for name in BUILT:
        said("cp", "-R", TREE / name, place, cwd=place)
    said(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", place, cwd=place)
    (built,) = (place / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of a new environment with the wheel; it borrows its dependencies from this one."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, with_pip=False)
    scripts = place / "bin"
    said(
        sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--quiet", "--no-deps", "--no-index",
        "--disable-pip-version-check", wheel, cwd=place,
    )  # fmt: skip
    (site,) = place.glob("lib/python*/site-packages")
    # Only after our own packages, and without reading the .pth files there: an editable install of this tree stays out.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_the_wheel_has_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        path.relative_to(TREE).as_posix()
        for directory in ("pypicache", "twisted")
        for path in (TREE / directory).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.name != "dropin.cache"
    }
    assert wanted <= names
    assert any(name.startswith("pypicache/web/templates/") for name in wanted)
    assert not {"twisted/__init__.py", "twisted/plugins/__init__.py"} & names
    assert not [name for name in names if name.startswith(("tests", "bench"))]


def test_an_installed_wheel_is_what_runs(scripts: Path, tmp_path: Path) -> None:
    place = said(scripts / "python", "-c", "import pypicache; print(pypicache.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(scripts.parent)
    assert said(scripts / "pypicache", "--version", cwd=tmp_path) == f"pypicache {__version__}\n"
    assert "root/pypi" in said(scripts / "pypicache", "config", cwd=tmp_path)


@pytest.mark.parametrize("program", ["twistd", "twist"])
def test_twisted_finds_the_plugin(program: str, scripts: Path, tmp_path: Path) -> None:
    run = {
        "twistd": "from twisted.scripts.twistd import run; run()",
        "twist": "from twisted.application.twist._twist import Twist; Twist.main()",
    }[program]
    assert "A cache and private index for Python packages." in said(
        scripts / "python", "-c", run, "--help", cwd=tmp_path
    )
    assert said(scripts / "python", "-c", run, "pypicache", "--version", cwd=tmp_path) == f"pypicache {__version__}\n"
