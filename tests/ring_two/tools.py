"""The real clients, installed once for a test session, and how each of them installs a requirement."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, frozen

from tests.ring_two.harness import clean_environment

# pdm 2.29 permits releases of its dependencies that it cannot be run with; its extra names those it was made for.
INSTALLERS = ("pip", "uv", "poetry", "pdm[locked]")
PUBLISHERS = ("twine", "flit", "hatch", "maturin", "build", "setuptools", "devpi-client", "tox", "sphinx")
SILENT = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "POETRY_NO_INTERACTION": "1",
    "POETRY_KEYRING_ENABLED": "false",
    "PDM_CHECK_UPDATE": "false",
    "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
}


@frozen
class Outcome:
    """How a program ended, and all that it said."""

    status: int
    output: str

    def ok(self) -> str:
        """The output of a program that succeeded."""
        assert self.status == 0, self.output
        return self.output


@define
class Tools:
    """A virtual environment with the newest release of every client."""

    directory: Path

    @classmethod
    def install(cls, directory: Path) -> Tools:
        """Make the environment, from PyPI, with the settings that this machine has for pip."""
        venv.create(directory, with_pip=True)
        tools = cls(directory)
        command = [str(tools.python), "-m", "pip", "install", "--quiet", "--upgrade", "--disable-pip-version-check"]
        command += [*INSTALLERS, *PUBLISHERS]
        done = subprocess.run(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600
        )
        Outcome(done.returncode, done.stdout).ok()
        return tools

    @property
    def python(self) -> Path:
        """The interpreter that has the clients."""
        return self.directory / "bin" / "python"

    def run(self, home: Path, *command: str, cwd: Path | None = None, **more: str) -> Outcome:
        """Run a client, named by the first word, with fresh caches below ``home`` and a clean environment."""
        environment: Mapping[str, str] = clean_environment(home) | SILENT | more
        done = subprocess.run(  # noqa: S603 - our own command
            [str(self.directory / "bin" / command[0]), *command[1:]],
            cwd=cwd or home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return Outcome(done.returncode, f"$ {' '.join(command)}\n{done.stdout}")

    def pip(self, home: Path, index: str, *arguments: str) -> Outcome:
        """``pip install`` into ``home/site`` from an index."""
        command = ("pip", "install", "--isolated", "--target", str(home / "site"), "-i", index)
        return self.run(home, *command, *arguments)

    def uv(self, home: Path, index: str, *arguments: str) -> Outcome:
        """``uv pip install`` into ``home/site`` from an index."""
        command = ("uv", "pip", "install", "--python", sys.executable, "--target", str(home / "site"))
        return self.run(home, *command, "--default-index", index, *arguments, UV_NO_CONFIG="1")


# A way to install one requirement from an index into a new home: the tools, the home, the index's simple pages without
# and with ``+simple``, the requirement. It returns the directory that the packages are in.
Way = Callable[[Tools, Path, str, str, str], Path]


def with_pip(tools: Tools, home: Path, index: str, simple: str, requirement: str) -> Path:
    """pip, index given as ``.../+simple/``."""
    tools.pip(home, simple, requirement).ok()
    return home / "site"


def with_pip_short(tools: Tools, home: Path, index: str, simple: str, requirement: str) -> Path:
    """pip, index given as ``.../user/index``."""
    tools.pip(home, index, requirement).ok()
    return home / "site"


def with_uv(tools: Tools, home: Path, index: str, simple: str, requirement: str) -> Path:
    """uv."""
    tools.uv(home, simple, requirement).ok()
    return home / "site"


def with_poetry(tools: Tools, home: Path, index: str, simple: str, requirement: str) -> Path:
    """poetry add, in a project whose primary source is the index."""
    project = new_project(home, f'[[tool.poetry.source]]\nname = "cache"\nurl = "{simple}"\npriority = "primary"\n')
    own = new_venv(project)
    tools.run(home, "poetry", "add", requirement, cwd=project, VIRTUAL_ENV=str(own)).ok()
    return site_packages(own)


def with_pdm(tools: Tools, home: Path, index: str, simple: str, requirement: str) -> Path:
    """pdm add, in a project whose only source is the index."""
    project = new_project(home, f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{simple}"\nverify_ssl = true\n')
    own = new_venv(project)
    tools.run(home, "pdm", "add", "--no-self", requirement, cwd=project, VIRTUAL_ENV=str(own)).ok()
    return site_packages(own)


WAYS: Mapping[str, Way] = {
    "pip": with_pip,
    "pip-short": with_pip_short,
    "uv": with_uv,
    "poetry": with_poetry,
    "pdm": with_pdm,
}


def new_project(home: Path, settings: str, dependencies: str = "[]") -> Path:
    """A project directory with a pyproject.toml that ends with the settings of a client."""
    project = home / "app"
    project.mkdir(parents=True)
    head = f'[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.11"\ndependencies = {dependencies}\n'
    (project / "pyproject.toml").write_text(f"{head}\n{settings}")
    return project


def new_venv(project: Path) -> Path:
    """An empty virtual environment inside a project."""
    venv.create(project / ".venv", with_pip=False)
    return project / ".venv"


def site_packages(environment: Path) -> Path:
    """Where the packages of a virtual environment are."""
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
