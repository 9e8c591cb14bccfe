"""The figures: each measures all servers one after the other, in the same way, and returns rows of the table."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp

from attrs import define

from bench.client import UV_ACCEPT, Herd, Rate, files, get, set_delay
from bench.material import Plan
from bench.peers import Peer, Tools
from bench.processes import Failed, Missing, plain_environment, program, run
from bench.table import Cell, Row
from bench.upstream import requests

_ONCE = {"devpi-server", "proxpi"}  # told for orientation; measured once, because they take their time
_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one, the disk does not blur what an installation takes
_GZIP = {"Accept-Encoding": "gzip, deflate, zstd"}

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

    def rows(self, rows: Mapping[str, Row], measure: Measure, rounds: int = 1, direct: bool = True) -> list[Row]:
        """Measure all servers in turn, as often as ``rounds`` says, and fill the rows with the medians.

        :param direct: the upstream itself is measured, too, as the server ``direct``.
        """
        servers = [*self.peers.values(), *([self.upstream] if direct else [])]
        seen: dict[tuple[str, str], list[Cell]] = {}
        for number in range(rounds):
            turn = number % len(servers)  # nobody is always first
            for server in servers[turn:] + servers[:turn]:
                if number and server.name in _ONCE:
                    continue
                try:
                    cells = measure(server, number)
                except (Failed, Missing, OSError) as error:
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
    """The median of the cells that have a number, the sum of their errors, the last note."""
    values = [cell.value for cell in cells if cell.value is not None]
    value = statistics.median(values) if values else None
    return Cell(value, sum(cell.errors for cell in cells), cells[-1].note)


def resting(run: Run) -> list[Row]:
    """Time to the first page after the start, and memory of a server with nothing to do."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        return {"start": Cell(run.starts[server.name] * 1000), "idle": Cell(server.process.memory().now)}

    rows = {"start": Row(figure="start to first page", unit="ms"), "idle": Row(figure="memory, idle", unit="MiB")}
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
        clients = Herd(url, size, sha256, plan.herd, checked=2)
        seconds = clients.run()
        downloads = requests(run.upstream_log.read_text(), path) - downloads
        used = server.process.processor_seconds() - used
        memory = server.process.memory()
        return {
            "seconds": Cell(
                seconds, clients.errors, ", ".join(filter(None, [f"CPU {used:.1f} s", clients.complaint()]))
            ),
            "downloads": Cell(downloads),
            "growth": Cell(max(0, memory.peak - before)),
            "after": Cell(memory.now),
        }

    rows = {
        "seconds": Row(figure=f"{label}: all have it", unit="s", goal=1.3),
        "downloads": Row(figure=f"{label}: downloads from upstream", unit=""),
        "growth": Row(figure=f"{label}: growth of memory at most", unit="MiB"),
        "after": Row(figure="memory afterwards", unit="MiB"),
    }
    return run.rows(rows, measure)


def install(run: Run) -> list[Row]:
    """``uv pip install`` of many small packages, each time with an empty cache of its own."""
    plan = run.plan
    packages = f"uv, {plan.set_size} packages"

    def uv(server: Peer, project: str) -> Cell:
        used = server.process.processor_seconds()
        seconds = timed_install(run, server, "uv", project, plan.set_size)
        return Cell(seconds, note=f"CPU {server.process.processor_seconds() - used:.2f} s")

    def fast(server: Peer, number: int) -> dict[str, Cell]:
        return {"cold": uv(server, "cold-all")}

    def slow(server: Peer, number: int) -> dict[str, Cell]:
        return {"slow": uv(server, f"slow{number}-all")}

    def hot(server: Peer, number: int) -> dict[str, Cell]:
        asked = run.asked()
        cell = uv(server, "cold-all")
        return {"hot": Cell(cell.value, note=", ".join(filter(None, [cell.note, after_cache(run, server, asked)])))}

    timed_install(run, run.upstream, "uv", "cold-all", plan.set_size)  # the first run of a program is slower
    rows = run.rows({"cold": Row(figure=f"{packages}, cold", unit="s", reference="direct")}, fast)
    rows += run.rows({"hot": Row(figure=f"{packages}, hot", unit="s", goal=1.15)}, hot, plan.rounds)
    set_delay(run.upstream.index, plan.delay)
    try:
        figure = f"{packages}, cold, upstream takes {plan.delay * 1000:.0f} ms per answer"
        row = Row(figure=figure, unit="s", reference="direct", goal=1.1)
        rows += run.rows({"slow": row}, slow, plan.slow_sets)
    finally:
        set_delay(run.upstream.index, 0)
    return rows


def pip(run: Run) -> list[Row]:
    """``pip install`` without a cache of its own, when the server has everything."""
    count = run.plan.pip_size

    def hot(server: Peer, number: int) -> dict[str, Cell]:
        if not number:
            timed_install(run, server, "uv", "cold-some", count)
        asked = run.asked()
        seconds = timed_install(run, server, "pip", "cold-some", count)
        return {"hot": Cell(seconds, note=after_cache(run, server, asked))}

    return run.rows({"hot": Row(figure=f"pip, {count} packages, hot", unit="s")}, hot)


def after_cache(run: Run, server: Peer, asked: int) -> str:
    """A note if a server that should have had everything asked its upstream."""
    more = run.asked() - asked
    return f"{more} upstream requests" if more and server is not run.upstream else ""


def timed_install(run_: Run, server: Peer, installer: str, project: str, count: int) -> float:
    """Seconds that an installer takes for a project with ``count`` requirements, into a directory of its own.

    :raises Failed: it ends with an error, or not everything is there.
    """
    uv = run_.tools.program("uv", "uv")
    work = Path(mkdtemp(prefix="pypicache-bench-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else run_.work))
    target = ["--target", str(work / "target")]
    if installer == "uv":
        python = ["--python", str(run_.tools.directory / "bin" / "python")]
        cache = ["--cache-dir", str(work / "cache")]
        command = [str(uv), "pip", "install", "--quiet", *python, *cache, "--default-index", server.index, *target]
    else:
        python = [str(run_.tools.directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        command = [
            *python,
            "install",
            "--quiet",
            "--no-cache-dir",
            "--no-compile",
            "--index-url",
            server.index,
            *target,
        ]
    try:
        begun = time.perf_counter()
        run([*command, project], plain_environment(work), 300)
        taken = time.perf_counter() - begun
        there = len(list((work / "target").glob("*.dist-info")))
        if there != count + 1:
            raise Failed(f"{installer} installed {there} of {count + 1} packages")
        return taken
    finally:
        shutil.rmtree(work)


def rates(run: Run) -> list[Row]:
    """Requests per second of hot things over 32 connections, and the speed of a large file."""
    plan = run.plan
    rows = [
        *_rate(run, "small page", lambda server: server.index + "small/", {}),
        *_rate(run, f"page of {plan.many:,} files, compressed", lambda server: server.index + "many/", _GZIP),
        *_not_modified(run),
        *_rate(run, f"wheel of {plan.small // 1000} KB", lambda server: run.listed(server, "small")[0], None),
    ]
    return [*rows, *_throughput(run)]


def _rate(run_: Run, figure: str, address: Callable[[Peer], str], more: Mapping[str, str] | None) -> list[Row]:
    """The rate of one URL; ``more`` headers, None for a file.

    The answer is compared before: a page with the upstream's list of files, a file byte for byte.
    """

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url = address(server)
        headers = {"Accept": "*/*"} if more is None else {"Accept": UV_ACCEPT, **more}
        if more is None:
            reply = get(url, headers)
            theirs = get(address(run_.upstream), headers)
            if reply.status != 200 or reply.body != theirs.body:
                raise Failed(f"{url}: {reply.status}, not the upstream's bytes")
        else:
            run_.listed(server, url.rstrip("/").rpartition("/")[2])
        once, again = get(url, headers), get(url, headers)
        if once.status != 200 or once.plain() != again.plain():
            raise Failed(f"{url}: {once.status}, or not the same bytes again")
        plain = "gzip" in headers.get("Accept-Encoding", "") and "content-encoding" not in again.headers
        return {"rate": _wrk(run_, server, url, headers, "not compressed" if plain else "")}

    return run_.rows({"rate": Row(figure=figure, unit="requests/s", more_is_better=True)}, measure)


def _not_modified(run_: Run) -> list[Row]:
    """The rate of the answer that nothing has changed."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url = server.index + "many/"
        headers = {"Accept": UV_ACCEPT, **_GZIP}
        headers["If-None-Match"] = get(url, headers).headers.get("etag", "")
        if get(url, headers).status != 304:
            return {"rate": Cell(None, note="does not answer 304")}
        return {"rate": _wrk(run_, server, url, headers)}

    row = Row(figure="the same page, not modified (304)", unit="requests/s", more_is_better=True)
    return run_.rows({"rate": row}, measure)


def _wrk(run_: Run, server: Peer, url: str, headers: Mapping[str, str], note: str = "") -> Cell:
    """Let wrk ask one URL over 32 connections."""
    asked = run_.asked()
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command: list[str | Path] = [
        program("wrk"),
        "-t1",
        "-c32",
        f"-d{run_.plan.seconds:g}s",
        "--latency",
        "--timeout",
        "20s",
        *named,
        url,
    ]
    rate = Rate.parse(run(command, os.environ))
    notes = [rate.latency(), note, after_cache(run_, server, asked)]
    return Cell(rate.per_second, rate.errors, ", ".join(filter(None, notes)))


def _throughput(run: Run) -> list[Row]:
    """The large wheel, hot, by eight clients."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url, sha256 = run.listed(server, "big")
        if not number and hashlib.sha256(get(url).body).hexdigest() != sha256:
            raise Failed(f"{url}: not the upstream's bytes")
        size = next(run.upstream_log.parent.glob("root/files/*/big-1.0-py3-none-any.whl")).stat().st_size
        clients = Herd(url, size, sha256, 8)
        seconds = clients.run()
        return {"rate": Cell(8 * size / seconds / 1e6, clients.errors, clients.complaint())}

    row = Row(figure=f"wheel of {run.plan.big >> 20} MiB, 8 clients, hot", unit="MB/s", more_is_better=True)
    return run.rows({"rate": row}, measure, run.plan.rounds + 2)


FIGURES: Mapping[str, Callable[[Run], list[Row]]] = {
    "resting": resting,
    "cold": cold,
    "herd": herd,
    "install": install,
    "rates": rates,
    "pip": pip,
}
