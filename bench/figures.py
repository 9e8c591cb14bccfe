"""What a run is, and its first figures: servers at rest, a cold wheel, and many clients that ask for one at once.

Each figure measures all servers one after the other, in the same way, and returns rows of the table.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define

from bench.client import Herd, files, get
from bench.material import Plan
from bench.peers import Peer, Tools
from bench.processes import Failed, Missing
from bench.table import Cell, Goal, Row, number
from bench.upstream import requests

_ONCE = {"devpi-server", "proxpi"}  # told for orientation; measured once, because they take their time

Measure = Callable[[Peer, int], Mapping[str, Cell]]
"""Measures one server in one round; a cell for each row."""


@define
class Run:
    """One run of the benchmark: the servers are up, and nothing but the small page was asked for."""

    plan: Plan
    work: Path
    upstream: Peer
    upstream_log: Path
    peers: Mapping[str, Peer]
    starts: Mapping[str, float]  # seconds from the start to the first page
    gaps: Mapping[str, str]  # server -> why it is not there
    tools: Tools
    with_direct: bool = True  # the upstream itself is measured as well, where that makes sense

    def rows(self, rows: Mapping[str, Row], measure: Measure, rounds: int = 1, direct: bool = True) -> list[Row]:
        """Measure all servers in turn, as often as ``rounds`` says, and fill the rows with the medians.

        :param direct: the upstream itself is measured, too, as the server ``direct``.
        """
        servers = [*self.peers.values(), *([self.upstream] if direct and self.with_direct else [])]
        seen: dict[tuple[str, str], list[Cell]] = {}
        for round_ in range(rounds):
            turn = round_ % len(servers)  # nobody is always first
            for server in servers[turn:] + servers[:turn]:
                if round_ and server.name in _ONCE:
                    continue
                try:
                    cells = measure(server, round_)
                except Missing as error:
                    cells = dict.fromkeys(rows, Cell(None, note=str(error)))
                except (Failed, OSError) as error:
                    cells = dict.fromkeys(rows, Cell(None, note=f"failed: {error}"[:160]))
                for key, cell in cells.items():
                    seen.setdefault((key, server.name), []).append(cell)
        gaps = {name: Cell(None, note=reason) for name, reason in self.gaps.items()}
        for key, row in rows.items():
            row.cells.update(
                {**gaps, **{name: median(cells) for (row_key, name), cells in seen.items() if row_key == key}}
            )
        return list(rows.values())

    def asked(self) -> int:
        """How many requests the upstream has seen so far."""
        return len(self.upstream_log.read_bytes().splitlines())

    def listed(self, server: Peer, project: str) -> tuple[str, str]:
        """Address and digest of a project's first file, if its page says what the upstream's says."""
        ours, theirs = files(server.index, project), files(self.upstream.index, project)
        if {name: digest for name, (_, digest) in ours.items()} != {
            name: digest for name, (_, digest) in theirs.items()
        }:
            raise Failed(f"the page of {project} is not the upstream's")
        return next(iter(ours.values()))


def median(cells: list[Cell]) -> Cell:
    """The median of the cells that have a number, how far they are apart, the sum of their errors, the last note."""
    values = [cell.value for cell in cells if cell.value is not None]
    last, errors = cells[-1], sum(cell.errors for cell in cells)
    if len(values) < 2:
        return Cell(values[0] if values else None, errors, last.note, last.details)
    note = ", ".join(filter(None, [f"{number(min(values))} to {number(max(values))}", last.note]))
    details: dict[str, object] = {**last.details, "values": values}
    for key in last.details:
        told = [cell.details.get(key) for cell in cells]
        numbers = [value for value in told if isinstance(value, int | float)]
        if len(numbers) == len(told):
            details[key] = statistics.median(numbers)
    return Cell(statistics.median(values), errors, note, details)


def resting(run: Run) -> list[Row]:
    """Time to the first page after the start, and memory of a server with nothing to do."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        return {"start": Cell(run.starts[server.name] * 1000), "idle": Cell(server.process.memory().now)}

    rows = {
        "start": Row(figure="start to first page", unit="ms"),
        "idle": Row(figure="memory, idle", unit="MiB", goals=(Goal(70),)),
    }
    return run.rows(rows, measure, direct=False)


def cold(run: Run) -> list[Row]:
    """A wheel that nobody asked for before, by one client; its page was asked for."""
    size = f"{run.plan.medium >> 20} MiB"

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url, sha256 = run.listed(server, f"medium-{number}")
        reply = get(url)
        if reply.status != 200 or hashlib.sha256(reply.body).hexdigest() != sha256:
            raise Failed(f"{url}: {reply.status}, {len(reply.body)} bytes")
        return {"first": Cell(reply.first_byte * 1000), "total": Cell(reply.total * 1000)}

    rows = {
        "first": Row(figure=f"cold wheel of {size}, first byte", unit="ms"),
        "total": Row(figure=f"cold wheel of {size}, whole", unit="ms"),
    }
    return run.rows(rows, measure, run.plan.mediums)


def herd(run: Run) -> list[Row]:
    """Many clients ask for one cold, large wheel at the same moment."""
    plan = run.plan
    label = f"{plan.herd} clients, one cold wheel of {plan.big >> 20} MiB"

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url, sha256 = run.listed(server, "big")
        bytes_url, _ = next(iter(files(run.upstream.index, "big").values()))
        path = "/" + bytes_url.split("/", 3)[3]
        size = (run.upstream_log.parent / "root" / path.lstrip("/")).stat().st_size
        server.process.forget_peak()
        before, used = server.process.memory().now, server.process.processor_seconds()
        downloads = requests(run.upstream_log.read_text(), path)
        count = plan.slow_herd if server.name == "devpi-server" else plan.herd
        clients = Herd(url, size, sha256, count, checked=2)
        seconds = clients.run()
        downloads = requests(run.upstream_log.read_text(), path) - downloads
        used = server.process.processor_seconds() - used
        memory = server.process.memory()
        fewer = f"{count} clients" if count != plan.herd else ""
        return {
            "seconds": Cell(
                seconds, clients.errors, ", ".join(filter(None, [fewer, f"CPU {used:.1f} s", clients.complaint()]))
            ),
            "downloads": Cell(downloads),
            "growth": Cell(max(0, memory.peak - before)),
            "after": Cell(memory.now),
        }

    rows = {
        "seconds": Row(figure=f"{label}: all have it", unit="s", goals=(Goal(1.2, "nginx"),)),
        "downloads": Row(figure=f"{label}: downloads from upstream", unit="", goals=(Goal(1),)),
        "growth": Row(figure=f"{label}: growth of memory at most", unit="MiB", goals=(Goal(30),)),
        "after": Row(figure="memory afterwards", unit="MiB"),
    }
    return run.rows(rows, measure)


def after_cache(run: Run, server: Peer, asked: int) -> str:
    """A note if a server that should have had everything asked its upstream."""
    more = run.asked() - asked
    return f"{more} upstream requests" if more and server is not run.upstream else ""
