"""Installers: uv and pip, each time without a cache of their own."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp

from bench.client import set_delay
from bench.figures import Run, after_cache
from bench.peers import Peer
from bench.processes import Failed, plain_environment, run
from bench.table import Cell, Goal, Row

_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one, the disk does not blur what an installation takes


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
    rows = run.rows({"cold": Row(figure=f"{packages}, cold", unit="s", goals=(Goal(None, "direct"),))}, fast)
    rows += run.rows(
        {"hot": Row(figure=f"{packages}, hot", unit="s", goals=(Goal(1.15, "nginx"), Goal(0.4, "devpi-server")))},
        hot,
        plan.rounds,
    )
    set_delay(run.upstream.index, plan.delay)
    try:
        figure = f"{packages}, cold, upstream takes {plan.delay * 1000:.0f} ms per answer"
        row = Row(figure=figure, unit="s", goals=(Goal(1.1, "direct"),))
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

    row = Row(figure=f"pip, {count} packages, hot", unit="s", goals=(Goal(1.1, "nginx"),))
    return run.rows({"hot": row}, hot, run.plan.rounds)


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
