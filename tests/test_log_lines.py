"""The lines of the log: many requests at once, as text and as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogLevel, formatEventAsClassicLogText, globalLogPublisher
from zope.interface import implementer

from pypicache.log_lines import LogLines
from pypicache.web.served import EVERY, MOST, NAMESPACE, Served, ServedRequests, as_events

ONE = Served(1_700_000_000.25, "192.0.2.1", "GET", "/root/pypi/+simple/demo/", 200, 512, "pip/25.0")
ODD = Served(1_700_000_001.5, "2001:db8::1", "HEAD", '/a"b', 404, 0, "it's\t\x00\xe9 {agent}")


class Output(io.StringIO):
    """Where lines go, and how often they were passed on."""

    flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def written(*served: Served, machine: bool) -> tuple[str, int]:
    """What is written of requests, and how often it is passed on."""
    lines, output = LogLines(machine=machine), Output()
    lines.begin(output)
    lines.requests(served)
    return output.getvalue(), output.flushed


def event_of(served: Served) -> dict[str, Any]:
    """The event that the logging system is told of the same request."""
    heard: list[dict[str, Any]] = []

    @implementer(ILogObserver)
    def listen(event: Any) -> None:
        heard.append(event)

    globalLogPublisher.addObserver(listen)
    try:
        as_events([served])
    finally:
        globalLogPublisher.removeObserver(listen)
    (event,) = heard
    return {**event, "log_time": served.time}


@pytest.mark.parametrize("served", [ONE, ODD], ids=["plain", "odd"])
def test_text_is_what_the_logging_system_writes(served: Served) -> None:
    """The line that is made in bulk cannot be told from that of an event."""
    assert written(served, machine=False)[0] == formatEventAsClassicLogText(event_of(served))


@pytest.mark.parametrize("served", [ONE, ODD], ids=["plain", "odd"])
def test_json_is_what_the_logging_system_writes(served: Served) -> None:
    """The object has the same members, so far as they tell of the request; and it is one line."""
    text, _ = written(served, machine=True)
    lines, output = LogLines(machine=True), Output()
    lines.begin(output)
    lines(event_of(served))
    ours, usual = json.loads(text), json.loads(output.getvalue())
    assert text.count("\n") == output.getvalue().count("\n") == 1
    assert {key: usual[key] for key in ours if key != "log_level"} | {"log_level": ours["log_level"]} == ours
    assert ours["log_level"]["name"] == usual["log_level"]["name"]
    assert ours["log_namespace"] == usual["log_namespace"] == NAMESPACE


@pytest.mark.parametrize("machine", [False, True])
def test_many_are_written_at_once(machine: bool) -> None:
    """In their order, passed on once; the seconds are those of each."""
    text, flushed = written(*[ONE, ODD] * 50, ONE, machine=machine)
    assert (text.count("\n"), flushed) == (101, 1)
    assert (
        text
        == (written(ONE, machine=machine)[0] + written(ODD, machine=machine)[0]) * 50 + written(ONE, machine=machine)[0]
    )


@pytest.mark.parametrize("machine", [False, True])
def test_events(machine: bool) -> None:
    """From level info on; before there is an output nothing is written."""
    lines, output = LogLines(machine=machine), Output()
    event = {"log_time": 1.0, "log_namespace": "here", "log_format": "{what} happened", "what": "it"}
    lines({**event, "log_level": LogLevel.error})
    lines.requests([ONE])
    lines.begin(output)
    for level in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.critical):
        lines({**event, "log_level": level})
    text = output.getvalue()
    assert text.count("\n") == 3
    assert [name in text for name in ("debug", "info", "warn", "critical")] == [False, True, True, True]
    if not machine:
        assert text.count("it happened") == 3


class Heard(list[list[Served]]):
    """What was told, burst by burst."""

    def __call__(self, served: Any) -> None:
        self.append(list(served))


def noted(clock: Clock) -> tuple[ServedRequests, Heard]:
    """A collector and who listens to it."""
    requests, heard = ServedRequests(clock), Heard()
    requests.listeners.append(heard)
    return requests, heard


def note(requests: ServedRequests, count: int) -> None:
    """Requests that were answered."""
    for number in range(count):
        requests.note("192.0.2.1", b"GET", b"/%d" % number, 200, number, "pip")


def test_a_burst_is_told_at_once() -> None:
    """A moment after the first one, in order; the next burst has a moment of its own."""
    clock = Clock()
    requests, heard = noted(clock)
    note(requests, 3)
    clock.advance(EVERY / 2)
    note(requests, 2)
    assert heard == []
    clock.advance(EVERY / 2)
    assert [[one.path for one in burst] for burst in heard] == [["/0", "/1", "/2", "/0", "/1"]]
    clock.advance(1)
    assert len(heard) == 1
    note(requests, 1)
    clock.advance(EVERY)
    assert len(heard) == 2


def test_very_many_do_not_wait() -> None:
    """Nothing is told twice or lost where a burst is larger than what is told at once."""
    clock = Clock()
    requests, heard = noted(clock)
    note(requests, MOST + 5)
    assert [len(burst) for burst in heard] == [MOST]
    clock.advance(EVERY)
    clock.advance(EVERY)
    assert [len(burst) for burst in heard] == [MOST, 5]
    assert clock.getDelayedCalls() == []


def test_stopping_tells_the_rest() -> None:
    """What waits is told now, and nothing a moment later."""
    clock = Clock()
    requests, heard = noted(clock)
    note(requests, 2)
    requests.tell()
    clock.advance(1)
    assert [len(burst) for burst in heard] == [2]


def test_texts_of_a_client() -> None:
    """Whatever it sends is one line, and not a long one."""
    requests, heard = noted(Clock())
    requests.note("192.0.2.1", b"GET\n", b"/\xe9\x00\n" + b"x" * 5000, 200, 0, "agent\n" * 100)
    requests.tell()
    one = heard[0][0]
    assert (one.path[:4], len(one.path), len(one.agent)) == ("/\xe9??", 1000, 80)
    for machine in (False, True):
        assert written(one, machine=machine)[0].count("\n") == 1
