"""The devpi client as a person uses it, and a small project for people to build and publish."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import define

from tests.ring_two.harness import Daemon
from tests.ring_two.tools import Outcome, Tools

SETUP = """\
from setuptools import setup

setup(
    name={name!r},
    version={version!r},
    description="says hello",
    long_description="It says hello.",
    long_description_content_type="text/plain",
    author="A. Uthor",
    author_email="author@example.com",
    url="https://example.com/hello",
    license="MIT",
    packages=[{name!r}],
    python_requires=">=3.8",
)
"""
PYPROJECT = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


@define
class Devpi:
    """One person's devpi client; in ``home`` it remembers the server, the index and the login."""

    tools: Tools
    home: Path
    url: str  # of the server, without a final slash

    def run(self, *arguments: str, cwd: Path | None = None, **more: str) -> Outcome:
        """Give a command; the programs that the client starts are those of the tools."""
        path = os.pathsep.join([str(self.tools.directory / "bin"), os.environ.get("PATH", os.defpath)])
        return self.tools.run(self.home, "devpi", *arguments, cwd=cwd, **{"PATH": path, **more})

    def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        """Give a command that must succeed; what the client says is returned."""
        return self.run(*arguments, cwd=cwd).ok()

    def refused(self, *arguments: str) -> str:
        """Give a command that must fail, with words of the server and not with a traceback."""
        outcome = self.run(*arguments)
        assert outcome.status != 0, outcome.output
        assert "Traceback" not in outcome.output, outcome.output
        return outcome.output

    def login(self, user: str, password: str) -> str:
        """Say who it is."""
        return self("login", user, f"--password={password}")

    def json(self, path: str) -> Any:
        """What ``devpi getjson`` prints."""
        return json.loads(self("getjson", path).partition("\n")[2])


def person(tools: Tools, daemon: Daemon, home: Path, user: str, password: str) -> Devpi:
    """Somebody with a new account, logged in."""
    devpi = Devpi(tools, home, daemon.url)
    devpi("use", daemon.url)
    devpi("user", "-c", user, f"password={password}")
    devpi.login(user, password)
    return devpi


def with_credentials(url: str, user: str, password: str) -> str:
    """A URL with a name and a password before the host."""
    return url.replace("://", f"://{user}:{password}@", 1)


def write_project(directory: Path, name: str = "hello", version: str = "0.0.1", says: str = "hello") -> Path:
    """A project with a setup.py, as setuptools builds it; ``name`` is also the package.

    :return: its directory.
    """
    package = directory / name
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f'version = "{version}"\n\n\ndef greet():\n    return "{says}"\n')
    (directory / "setup.py").write_text(SETUP.format(name=name, version=version))
    (directory / "pyproject.toml").write_text(PYPROJECT)
    return directory


def build_project(tools: Tools, home: Path, project: Path) -> list[Path]:
    """Build the sdist and the wheel of a project, with what the tools' environment has.

    :return: both files, the sdist first.
    """
    tools.run(home, "pyproject-build", "--no-isolation", str(project)).ok()
    return [*(project / "dist").glob("*.tar.gz"), *(project / "dist").glob("*.whl")]
