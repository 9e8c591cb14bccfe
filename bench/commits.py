"""Two commits of this repository side by side: ``python -m bench --compare BEFORE AFTER``."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median

import pypicache
from bench.peers import Peer, Tools, prepare_pypicache
from bench.processes import Failed, program, run
from bench.table import OURS, Cell, Row, number

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


def compared(rows: Iterable[Row]) -> str:
    """A table of both commits in Markdown; a ratio is the median of those of single rounds, with least and most.

    What one round had was measured at nearly the same time, so these are closer to each other than the numbers are.
    """
    lines = ["| figure | unit | before | after | after / before | processor time per request |", "| --- " * 6 + "|"]
    for row in rows:
        before, after = (row.cells.get(name, Cell(None)) for name in (BEFORE, OURS))
        found = ratios(before, after)
        ratio = f"{median(found):.3f} ({min(found):.3f} to {max(found):.3f})" if found else "-"
        times = [cell.details.get("processor_us_per_request") for cell in (before, after)]
        spent = [value for value in times if isinstance(value, float) and value]
        processor = f"{spent[1] / spent[0]:.3f} ({spent[0]:.0f} to {spent[1]:.0f} µs)" if len(spent) == 2 else "-"
        told = [number(cell.value) if cell.value is not None else cell.note for cell in (before, after)]
        wrong = f", {before.errors} and {after.errors} errors" if before.errors or after.errors else ""
        lines.append(f"| {row.figure} | {row.unit} | {told[0]} | {told[1]} | {ratio}{wrong} | {processor} |")
    return "\n".join(lines) + "\n"


def ratios(before: Cell, after: Cell) -> list[float]:
    """After divided by before, for each round that both have; of a single number if there was one round."""
    pairs = zip(_values(before), _values(after), strict=False)
    return [ours / theirs for theirs, ours in pairs if theirs]


def _values(cell: Cell) -> list[float]:
    values = cell.details.get("values")
    if isinstance(values, list):
        return values
    return [] if cell.value is None else [cell.value]
