"""Figures of pypicache alone: what a second worker brings, and what memory does under mixed load for a while."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.client import UV_ACCEPT, Herd, Rate, get
from bench.figures import Run
from bench.peers import Peer, prepare_pypicache
from bench.processes import Failed, Missing, run
from bench.publishing import uploading
from bench.rates import wrk
from bench.table import OURS, Cell, Goal, Row

_PAGE = {"Accept": UV_ACCEPT, "Accept-Encoding": "gzip, deflate, zstd"}
_SAMPLES = 200  # of memory, at most one per second


def workers(run_: Run) -> list[Row]:
    """The rates of the small page and the small wheel with two workers, divided by those with one."""
    if OURS not in run_.peers:
        return []
    place = run_.work / "workers"
    place.mkdir()
    two = prepare_pypicache(place, run_.upstream.index, run_.tools, workers=2)
    rows: list[Row] = []
    try:
        two.start()
        for what in ("small page", f"wheel of {run_.plan.small // 1000} KB"):
            measured = [_asked(run_, server, page=what == "small page") for server in (run_.peers[OURS], two)]
            rows += _beside(what, *measured)
    except (Failed, Missing, OSError) as error:
        refused = "workers" in two.process.log.read_text(errors="replace")
        cell = Cell(None, note="the daemon has no setting workers" if refused else f"failed: {error}"[:160])
        rows.append(Row(figure="two workers beside one", unit="times", cells={OURS: cell}, goals=()))
    finally:
        two.process.stop()
    return rows


def _beside(what: str, one: tuple[Rate, float], two: tuple[Rate, float]) -> list[Row]:
    """The rows of one kind of request; each measurement is a rate and processor seconds per request."""
    errors = one[0].errors + two[0].errors
    rates = Cell(
        two[0].per_second / one[0].per_second,
        errors,
        f"{two[0].per_second:,.0f} and {one[0].per_second:,.0f} requests/s",
    )
    times = Cell(2 * one[1] / two[1], errors, f"{two[1] * 1e6:.0f} and {one[1] * 1e6:.0f} us per request")
    return [
        Row(figure=f"{what}: two workers beside one", unit="times", cells={OURS: rates}, goals=(Goal(1.6),),
            more_is_better=True),
        Row(figure=f"{what}: two workers beside one, by processor time", unit="times", cells={OURS: times}, goals=(),
            more_is_better=True),
    ]  # fmt: skip


def _asked(run_: Run, server: Peer, page: bool) -> tuple[Rate, float]:
    """The rate of a small thing, and the processor seconds that one request takes."""
    url, headers = (server.index + "small/", _PAGE) if page else (run_.listed(server, "small")[0], {"Accept": "*/*"})
    for _ in range(2):
        if get(url, headers).status != 200:
            raise Failed(f"{url}: {get(url, headers).status}")
    used = server.process.processor_seconds()
    rate = Rate.parse(run(wrk(url, headers, run_.plan.seconds), os.environ))
    used = server.process.processor_seconds() - used
    if not rate.per_second or not used:
        raise Failed(f"{url}: nothing was measured")
    return rate, used / (rate.per_second * run_.plan.seconds)


def lasting(run_: Run) -> list[Row]:
    """Memory while everything is asked for at once: pages, small and large files, and uploads."""
    server = run_.peers.get(OURS)
    if server is None:
        return []
    seconds = run_.plan.soak
    before = server.process.memory().now
    server.process.forget_peak()
    samples, errors = _under_load(run_, server, seconds)
    peak = server.process.memory().peak
    settled = [sample for sample in samples if sample[0] >= seconds / 4]  # what is filled at first is no leak
    details = {"samples": [[round(at, 1), round(mib, 2)] for at, mib in samples], "peak_mib": peak}
    load = f"{seconds:g} s of mixed load"
    cells = {
        f"memory after {load}": Cell(samples[-1][1], errors, f"{before:.0f} before, peak {peak:.0f}", details),
        f"memory during {load}: slope after the first quarter": Cell(slope(settled) * 60),
    }
    units = ("MiB", "MiB/min")
    return [
        Row(figure=figure, unit=unit, cells={OURS: cell}, goals=())
        for unit, (figure, cell) in zip(units, cells.items(), strict=True)
    ]


def _under_load(run_: Run, server: Peer, seconds: float) -> tuple[list[tuple[float, float]], int]:
    """Memory in MiB at seconds since the start, and how many answers were wrong."""
    addresses = [
        (server.index + "small/", _PAGE),
        (server.index + "many/", _PAGE),
        (run_.listed(server, "small")[0], {"Accept": "*/*"}),
    ]
    big, sha256 = run_.listed(server, "big")
    size = int(get(big).headers["content-length"])
    stop = threading.Event()

    def reading() -> int:
        wrong = 0
        while not stop.wait(1):
            herd = Herd(big, size, sha256, 2, checked=1)
            herd.run()
            wrong += herd.errors
        return wrong

    samples: list[tuple[float, float]] = []
    with ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        loads = [pool.submit(run, wrk(url, more, seconds, 4), os.environ, seconds + 60) for url, more in addresses]
        others = [pool.submit(reading), pool.submit(uploading, server, stop)]
        while (now := time.monotonic() - begun) < seconds:
            samples.append((now, server.process.memory().now))
            time.sleep(max(1.0, seconds / _SAMPLES) if seconds > 20 else 0.2)
        stop.set()
        errors = sum(Rate.parse(load.result()).errors for load in loads) + sum(other.result() for other in others)
    samples.append((seconds, server.process.memory().now))
    return samples, errors


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """How much the second number grows per unit of the first, by least squares; 0 if all first numbers are the same."""
    if not samples:
        return 0.0
    middle_x = sum(x for x, _ in samples) / len(samples)
    middle_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - middle_x) ** 2 for x, _ in samples)
    return sum((x - middle_x) * (y - middle_y) for x, y in samples) / spread if spread else 0.0
