"""Two commits of this repository side by side: ``python -m bench --compare BEFORE AFTER``."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pypicache
from bench.peers import Peer, Tools, prepare_pypicache
from bench.processes import Failed, program, run
from bench.table import OURS

BEFORE = "before"  # the column of the older commit; the other one is pypicache's
_REPOSITORY = Path(pypicache.__file__).parent.parent


def checked_out(commit: str, directory: Path) -> str:
    """Unpack what a commit has of the daemon into a directory; the working tree and its branches stay as they are.

    :return: the short name of the commit.
    :raises Failed: there is no such commit.
    """
    git: list[str | Path] = [program("git"), "-C", _REPOSITORY]
    try:
        name = run([*git, "rev-parse", "--short", f"{commit}^{{commit}}"], os.environ).strip()
    except Failed as error:
        raise Failed(f"{commit} is no commit here: {error}") from error
    packed = subprocess.run(  # noqa: S603 - the command is our own
        [*git, "archive", name, "pypicache"], capture_output=True, check=False
    )
    if packed.returncode != 0:
        raise Failed(f"{commit}: {packed.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return name


def both(before: str, after: str, directory: Path) -> Mapping[str, Callable[[Path, str, Tools], Peer]]:
    """How to set up the daemons of two commits."""
    return {OURS: _prepare(OURS, after, directory / "after"), BEFORE: _prepare(BEFORE, before, directory / "before")}


def _prepare(column: str, commit: str, checkout: Path) -> Callable[[Path, str, Tools], Peer]:
    checkout.mkdir(parents=True)
    name = checked_out(commit, checkout)

    def prepare(work: Path, upstream: str, tools: Tools) -> Peer:
        peer = prepare_pypicache(work, upstream, tools, checkout=checkout)
        peer.name, peer.version = column, name
        return peer

    return prepare
