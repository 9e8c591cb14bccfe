"""Where the lines of the log are, by whichever program the daemon is started, and that none is lost at its end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_daemon import COMMAND, PATIENCE, TWISTD, Yard, ask, port, quiet, yard

__all__ = ["port", "yard"]

pytestmark = pytest.mark.daemon

FOREGROUND = {"twistd": [*TWISTD, "--nodaemon", "--pidfile=", "pypicache"], "serve": [*COMMAND, "serve"]}
PATHS = [f"/+health/live?{number}" for number in range(20)]


def told(text: str) -> list[str]:
    """The paths of requests in a log, in order."""
    lines = [line for line in text.splitlines() if "/+health/live?" in line]
    if lines and lines[0].startswith("{"):
        return [json.loads(line)["path"] for line in lines]
    return [line.split("#info] ")[1].split()[2] for line in lines]


def within_patience(ask_: Callable[[], bool], what: str) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + PATIENCE
    while not ask_():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("machine", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("door", FOREGROUND)
def test_in_the_foreground(yard: Yard, port: int, door: str, machine: bool) -> None:
    """Each request is one line on stdout, and the last ones are there although the daemon ends at once."""
    running = yard.start(*FOREGROUND[door], *quiet(port), *(["--log-format=json"] if machine else []))
    running.answer(port)
    for path in PATHS:
        ask(port, path)
    ended = running.end()
    assert ended.code in {0, -signal.SIGTERM}, ended
    assert told(ended.out) == PATHS
    lines = [line for line in ended.out.splitlines() if line.startswith("{")]
    assert (len(lines) > len(PATHS)) == machine
    for line in lines:
        assert {"log_time", "log_level", "log_namespace"} <= json.loads(line).keys()


def test_in_the_background(yard: Yard, port: int) -> None:
    """They go to the file that is named; SIGUSR1 begins a new one, and none is lost or written twice."""
    assert yard.run(*TWISTD, "--pidfile=pid", "--logfile=log", "pypicache", *quiet(port)).code == 0
    pid = int((yard.place / "pid").read_text())
    try:
        within_patience(lambda: answers(port), (yard.place / "log").read_text())
        for path in PATHS[:10]:
            ask(port, path)
        within_patience(lambda: len(told((yard.place / "log").read_text())) == 10, "the lines are written")
        os.kill(pid, signal.SIGUSR1)
        within_patience((yard.place / "log.1").exists, "the log is rotated")
        for path in PATHS[10:]:
            ask(port, path)
    finally:
        os.kill(pid, signal.SIGTERM)
    within_patience(lambda: not Path(f"/proc/{pid}").exists(), "the daemon ends")
    assert told((yard.place / "log.1").read_text()) == PATHS[:10]
    assert told((yard.place / "log").read_text()) == PATHS[10:]


def answers(port: int) -> bool:
    """Whether the daemon answers."""
    try:
        ask(port, "/+status")
    except OSError:
        return False
    return True
