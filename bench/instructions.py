"""Instructions that one request takes, counted by callgrind, so that it does not matter what else the machine does.

The daemon runs some 50 times slower in it. Two counts with different numbers of requests are subtracted, so that what
does not belong to requests is left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from bench.client import UV_ACCEPT, get
from bench.figures import Run
from bench.peers import Peer, prepare_pypicache
from bench.processes import Failed, Missing, program, run
from bench.table import OURS, Cell, Row
from bench.uploads import Line

_START_LIMIT = 400.0  # seconds; a start takes less than a minute on a machine of 2024
_PAGE = {"Accept": UV_ACCEPT, "Accept-Encoding": "gzip, deflate, zstd"}


def instructions(run_: Run) -> list[Row]:
    """Of pages, an answer 304 and a small file, over one connection."""
    try:
        return [
            Row(figure=f"{figure}: instructions per request", unit="thousands", cells={OURS: cell}, goals=())
            for figure, cell in _count(run_).items()
        ]
    except (Missing, Failed, OSError) as error:
        cell = Cell(None, note=str(error)[:160])
        return [Row(figure="instructions per request", unit="thousands", cells={OURS: cell}, goals=())]


def _count(run_: Run) -> dict[str, Cell]:
    valgrind, control = program("valgrind"), program("callgrind_control")
    place = run_.work / "counted"
    place.mkdir()
    server = prepare_pypicache(place, run_.upstream.index, run_.tools)
    counts = place / "callgrind.out"
    server.process.command = [
        valgrind, "--tool=callgrind", f"--callgrind-out-file={counts}", *server.process.command,
    ]  # fmt: skip
    try:
        server.start(_START_LIMIT)
        many = server.index + "many/"
        wheel, _ = run_.listed(server, "small")
        get(many, _PAGE)  # the first answer may have another tag than those that follow, as it is made in a hurry
        tag = {"If-None-Match": get(many, _PAGE).headers.get("etag", "")}
        asked: dict[str, tuple[str, Mapping[str, str], int]] = {
            "small page": (server.index + "small/", _PAGE, 200),
            f"page of {run_.plan.many:,} files, as uv asks for it": (many, _PAGE, 200),
            "the same page, not modified (304)": (many, {**_PAGE, **tag}, 304),
            f"wheel of {run_.plan.small // 1000} KB": (wheel, {"Accept": "*/*"}, 200),
        }
        return {figure: _per_request(run_, server, control, counts, *what) for figure, what in asked.items()}
    finally:
        server.process.stop()


def _per_request(
    run_: Run, server: Peer, control: Path, counts: Path, url: str, headers: Mapping[str, str], status: int
) -> Cell:
    few, path, errors = run_.plan.counted, urlsplit(url).path, 0
    totals: list[int] = []
    running = server.process.running
    with closing(Line(server.server())) as line:
        for count in (few, few, 3 * few):  # the first is for warming up
            for _ in range(count):
                errors += line.get(path, headers).status != status
            before = set(counts.parent.glob("callgrind.out.*"))
            run([control, "--dump", str(running.pid if running else 0)], os.environ, 60)
            written = set(counts.parent.glob("callgrind.out.*")) - before
            totals.append(sum(total(dump.read_text()) for dump in written))
    return Cell((totals[2] - totals[1]) / (2 * few) / 1000, errors)


def total(dump: str) -> int:
    """The number of instructions that a dump of callgrind contains; it counts from the dump before.

    :raises Failed: there is none.
    """
    for line in reversed(dump.splitlines()):
        if line.startswith("totals: "):
            return int(line.split()[1])
    raise Failed("callgrind has not counted anything")
