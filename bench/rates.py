"""How many requests per second for hot things, and the speed of a large file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.client import UV_ACCEPT, Herd, Rate, Reply, get
from bench.figures import Run, after_cache
from bench.peers import Peer
from bench.processes import Failed, program, run
from bench.table import Cell, Goal, Row

_UV = {"Accept-Encoding": "gzip, deflate, zstd"}
_PIP = {"Accept-Encoding": "gzip, deflate"}


def rates(run: Run) -> list[Row]:
    """Requests per second of hot things over 32 connections, and the speed of a large file."""
    plan = run.plan

    def many(server: Peer) -> str:
        return server.index + "many/"

    def small_wheel(server: Peer) -> str:
        return run.listed(server, "small")[0]

    rows = [
        *_rate(run, "small page", lambda server: server.index + "small/", {}, (0.4, 40)),
        *_rate(run, f"page of {plan.many:,} files, as uv asks for it", many, _UV, (1, 100)),
        *_rate(run, f"page of {plan.many:,} files, as pip asks for it", many, _PIP, (1, 100)),
        *_not_modified(run),
        *_rate(
            run, f"wheel of {plan.small // 1000} KB", lambda server: run.listed(server, "small")[0], None, (0.3, 40)
        ),
    ]
    return [*rows, *_throughput(run)]


def _goals(nginx: float, devpi: float) -> tuple[Goal, ...]:
    return (Goal(nginx, "nginx"), Goal(devpi, "devpi-server"))


def _rate(
    run_: Run,
    figure: str,
    address: Callable[[Peer], str],
    more: Mapping[str, str] | None,
    goals: tuple[float, float],
) -> list[Row]:
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
        return {"rate": _wrk(run_, server, url, headers, again)}

    row = Row(figure=figure, unit="requests/s", more_is_better=True, goals=_goals(*goals))
    return run_.rows({"rate": row}, measure, run_.plan.rate_rounds)


def _not_modified(run_: Run) -> list[Row]:
    """The rate of the answer that nothing has changed."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url = server.index + "many/"
        headers = {"Accept": UV_ACCEPT, **_UV}
        headers["If-None-Match"] = get(url, headers).headers.get("etag", "")
        again = get(url, headers)
        if again.status != 304:
            return {"rate": Cell(None, note="does not answer 304")}
        return {"rate": _wrk(run_, server, url, headers, again)}

    row = Row(
        figure="the same page, not modified (304)", unit="requests/s", more_is_better=True, goals=(Goal(0.35, "nginx"),)
    )
    return run_.rows({"rate": row}, measure, run_.plan.rate_rounds)


def _wrk(run_: Run, server: Peer, url: str, headers: Mapping[str, str], reply: Reply) -> Cell:
    """Let wrk ask one URL over 32 connections; ``reply`` is what one client was answered."""
    asked, used = run_.asked(), server.process.processor_seconds()
    rate = Rate.parse(run(wrk(url, headers, run_.plan.seconds), os.environ))
    used = server.process.processor_seconds() - used
    coding = reply.headers.get("content-encoding", "identity")
    shape = f"{len(reply.body):,} bytes" + (f" {coding}" if coding != "identity" else "")
    notes = [rate.latency(), shape, after_cache(run_, server, asked)]
    details = {
        "p50_ms": rate.p50,
        "p99_ms": rate.p99,
        "body_bytes": len(reply.body),
        "coding": coding,
        "memory_mib": server.process.memory().now,
        "processor_us_per_request": used / (rate.per_second * run_.plan.seconds) * 1e6 if rate.per_second else None,
    }
    return Cell(rate.per_second, rate.errors, ", ".join(filter(None, notes)), details)


def wrk(url: str, headers: Mapping[str, str], seconds: float, connections: int = 32) -> list[str | Path]:
    """The command that asks one URL as fast as it is answered."""
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    ways = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "20s"]
    return [program("wrk"), *ways, *named, url]


def _throughput(run: Run) -> list[Row]:
    """The large wheel, hot, by eight clients."""

    def measure(server: Peer, number: int) -> dict[str, Cell]:
        url, sha256 = run.listed(server, "big")
        if not number and hashlib.sha256(get(url).body).hexdigest() != sha256:
            raise Failed(f"{url}: not the upstream's bytes")
        size = next(run.upstream_log.parent.glob("root/files/*/big-1.0-py3-none-any.whl")).stat().st_size
        clients = Herd(url, size, sha256, 8)
        seconds = clients.run()
        details = {"body_bytes": size, "memory_mib": server.process.memory().now}
        return {"rate": Cell(8 * size / seconds / 1e6, clients.errors, clients.complaint(), details)}

    row = Row(
        figure=f"wheel of {run.plan.big >> 20} MiB, 8 clients, hot",
        unit="MB/s",
        more_is_better=True,
        goals=_goals(0.9, 3),
    )
    return run.rows({"rate": row}, measure, run.plan.rounds + 2)
