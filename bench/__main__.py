"""Measure pypicache beside other caches on this machine, and print a table: ``python -m bench``, or ``make bench``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import orjson
from attrs import asdict, evolve

from bench.chart import svg
from bench.commits import both, compared
from bench.figures import Run, cold, herd, resting
from bench.filling import write_dump
from bench.installing import install, pip
from bench.instructions import instructions
from bench.lasting import lasting, workers
from bench.material import COMPARING, QUICK, Material, Plan
from bench.peers import PEERS, TAKES_UPLOADS, Peer, Tools
from bench.processes import Failed, Missing, Process, free_port, plain_environment
from bench.publishing import publishing
from bench.rates import rates
from bench.table import OURS, Cell, Row, judged, markdown

FIGURES: Mapping[str, Callable[[Run], list[Row]]] = {
    "resting": resting,
    "cold": cold,
    "herd": herd,
    "install": install,
    "rates": rates,
    "pip": pip,
    "workers": workers,
    "publishing": publishing,
    "lasting": lasting,
}
Prepare = Callable[[Path, str, Tools], Peer]
EXTRA = {"instructions": instructions}  # only when asked for
_HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pypicache-bench"


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, done in two minutes")
    parser.add_argument(
        "--only",
        action="append",
        choices={**FIGURES, **EXTRA},
        metavar="FIGURE",
        help=f"one of {', '.join({**FIGURES, **EXTRA})}; may be repeated",
    )
    parser.add_argument(
        "--server", action="append", choices=PEERS, metavar="SERVER", help=f"one of {', '.join(PEERS)}; may be repeated"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE", "AFTER"), help="measure two commits of this repository in turn"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the numbers; default: bench/results/")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="where to draw the bars; default: beside the numbers")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="how long the mixed load lasts")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="DIR",
        default=_CACHE / "peers",
        help="environment for the other programs; default: %(default)s",
    )
    return parser.parse_args(given)


@contextmanager
def servers(plan: Plan, work: Path, tools: Tools, wanted: Mapping[str, Prepare]) -> Iterator[Run]:
    """Make the material and start the upstream and the servers; stop them all at the end, whatever happens."""
    with ExitStack() as stack:
        Material(work / "root").everything(plan)
        if tools.dump is not None:
            write_dump(tools.dump, plan.many)
        port, log = free_port(), work / "access.log"
        log.touch()
        command: list[str | Path] = [sys.executable, "-m", "bench.upstream", work / "root", str(port), log]
        process = Process(
            command, plain_environment(work, PYTHONPATH=str(_HERE.parent)), work / "upstream.log", _HERE.parent
        )
        stack.callback(process.stop)
        upstream = Peer("direct", "", f"http://127.0.0.1:{port}/simple/", process)
        upstream.start()
        peers: dict[str, Peer] = {}
        starts: dict[str, float] = {}
        gaps: dict[str, str] = {}
        preparing: dict[str, Future[Peer]] = {}
        with ThreadPoolExecutor() as pool:
            for name, prepare in wanted.items():
                (work / name).mkdir()
                preparing[name] = pool.submit(prepare, work / name, upstream.index, tools)
        for name, prepared in preparing.items():
            try:
                peer = prepared.result()
                stack.callback(peer.process.stop)
                starts[name] = peer.start()
                peers[name] = peer
            except Missing as error:
                gaps[name] = str(error)
            except (Failed, OSError) as error:
                gaps[name] = "did not start"
                say(str(error))
        time.sleep(1)  # what a server does after its first answer is part of its start
        yield Run(plan, work, upstream, log, peers, starts, gaps, tools)


def about(run: Run) -> str:
    """What was measured, and where."""
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in run.peers.values())
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {versions}; {machine}; everything on this machine"


def write(path: Path, run: Run, rows: list[Row]) -> None:
    """Write the numbers as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "about": about(run),
        "plan": asdict(run.plan),
        "versions": {peer.name: peer.version for peer in run.peers.values()},
        "missing": dict(run.gaps),
        "rows": [
            {
                **asdict(row),
                "goals": [
                    {**asdict(goal), "measured": row.measured(goal), "reached": row.reached(goal)} for goal in row.goals
                ],
            }
            for row in rows
        ],
    }
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def say(text: str) -> None:
    """Tell the person who waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def stop(number: int, frame: FrameType | None) -> None:
    """End in order, so that everything that was started is stopped."""
    raise SystemExit(128 + number)


def planned(options: argparse.Namespace) -> Plan:
    """How much is measured."""
    plan = QUICK if options.quick else Plan()
    if options.compare:
        plan = evolve(COMPARING, rounds=3, rate_rounds=3, seconds=1.0, big=QUICK.big) if options.quick else COMPARING
    return plan if options.soak is None else evolve(plan, soak=options.soak)


def main(given: Sequence[str]) -> None:
    """Measure, print, write."""
    options = arguments(given)
    signal.signal(signal.SIGTERM, stop)
    plan = planned(options)
    useful = TAKES_UPLOADS if options.only == ["publishing"] else PEERS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="pypicache-bench-") as directory:
        begun = time.monotonic()
        publishes = "publishing" in (options.only or ([] if options.compare else FIGURES))
        wanted: Mapping[str, Prepare] = {
            name: prepare
            for name, prepare in PEERS.items()
            if (name in options.server if options.server else name in useful)
        }
        if options.compare:
            before, after = options.compare
            try:
                wanted = both(before, after, Path(directory) / "commits")
            except (Failed, Missing) as error:
                raise SystemExit(str(error)) from error
        tools = Tools(options.peers, Path(directory) / "dump" if publishes else None)
        with servers(plan, Path(directory), tools, wanted) as run:
            run.with_direct = not options.compare
            for name in options.only or (["rates"] if options.compare else FIGURES):
                say(f"{time.monotonic() - begun:4.0f} s  {name}")
                try:
                    rows += {**FIGURES, **EXTRA}[name](run)
                except (Failed, Missing, OSError) as error:  # the other figures are worth having all the same
                    rows.append(Row(figure=name, unit="", cells={OURS: Cell(None, note=f"failed: {error}"[:160])}))
            results = options.json or _HERE / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
            write(results, run, rows)
            drawing = options.svg or results.with_suffix(".svg")
            columns = [*wanted, *(["direct"] if run.with_direct else [])]
            drawing.write_text(svg([row for row in rows if any(goal.of for goal in row.goals)], columns))
            table = compared(rows) if options.compare else f"{judged(rows)}\n\n{markdown(rows, columns)}"
            print(f"{about(run)}\n\n{table}")
    say(f"{time.monotonic() - begun:4.0f} s  written to {results}, drawn in {drawing}")


if __name__ == "__main__":
    main(sys.argv[1:])
