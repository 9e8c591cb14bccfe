"""How long the turns of the reactor take: for as long as one of them lasts, nobody is answered."""

from __future__ import annotations

import gc
import select
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

WARN = 0.25  # seconds; a turn that takes longer is worth a line in the log
BEAT = 0.25  # seconds between two looks at the clock, where the reactor has no poller that can be wrapped
TICK = 0.0012  # seconds; epoll counts in milliseconds, and rounds up
COLLECT = (5000, 20, 20)  # thresholds of the garbage collector; a large page is 10,000s of objects that stay
SPAN = 30.0  # seconds that one part of the recent past covers
SPANS = 10  # parts of the recent past: five minutes
BOUNDS = tuple(0.0001 * 1.25**step for step in range(56))  # seconds, upper ends of the buckets: 0.1 ms to about 21 s


@frozen(kw_only=True)
class Length:
    """What can be said of some turns, in seconds."""

    worst: float = 0.0
    p99: float = 0.0  # 99 of 100 turns took no longer; up to a quarter too high
    turns: int = 0


@define
class Histogram:
    """Numbers of turns by their length; takes the same room however many there are."""

    counts: list[int] = field(factory=lambda: [0] * (len(BOUNDS) + 1))
    worst: float = 0.0  # seconds

    def add(self, seconds: float) -> None:
        """Count one turn."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        if seconds > self.worst:
            self.worst = seconds

    def move_to(self, other: Histogram) -> None:
        """Count what was counted so far in another one, and here from nothing again."""
        other.counts = [count + more for count, more in zip(other.counts, self.counts, strict=True)]
        other.worst = max(other.worst, self.worst)
        self.counts = [0] * (len(BOUNDS) + 1)
        self.worst = 0.0


def lengths(histograms: list[Histogram]) -> Length:
    """The figures of several histograms together."""
    counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
    worst, total, seen = max(one.worst for one in histograms), sum(counts), 0
    for bound, count in zip((*BOUNDS, worst), counts, strict=True):
        seen += count
        if seen * 100 >= total * 99:
            return Length(worst=worst, p99=min(bound, worst), turns=total)
    raise AssertionError("all turns are in some bucket")


class Turns:
    """The lengths of turns, since the start and of the last five minutes.

    :param clock: seconds that never go back.
    """

    log = Logger()

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._past = Histogram()  # of what was before that
        self._recent = [Histogram() for _ in range(SPANS)]
        self._now = self._recent[0]
        self._span = -1  # number of the span that is counted in now
        self._ends = float("-inf")  # when that one ends

    def took(self, seconds: float, now: float) -> None:
        """A turn has ended.

        :param now: by the clock.
        """
        if now >= self._ends:
            self._move(now)
        self._now.add(seconds)
        if seconds > WARN:
            self.log.warn("for {seconds:.2f} s nobody was answered: one turn of the reactor took so long",
                          seconds=seconds)  # fmt: skip

    def _move(self, now: float) -> None:
        span = int(now // SPAN)
        for number in range(max(self._span + 1, span - SPANS + 1), span + 1):
            self._recent[number % SPANS].move_to(self._past)
        self._span, self._now, self._ends = span, self._recent[span % SPANS], (span + 1) * SPAN

    def since_start(self) -> Length:
        """Of all turns."""
        return lengths([self._past, *self._recent])

    def recent(self) -> Length:
        """Of the last five minutes, or up to half a minute less."""
        now = self._clock()
        if now >= self._ends:
            self._move(now)
        return lengths(self._recent)


def measured(reactor: Any, turns: Turns, clock: Callable[[], float]) -> Callable[[float | None], None]:
    """One turn of an epoll reactor, with a look at the clock before and after it waits.

    Twisted's own, besides, notes for its old log whom each event is for, which takes as long as to read a request.
    """
    wait, selectables, work = reactor._poller.poll, reactor._selectables, reactor._doReadOrWrite
    woke = clock()

    def turn(timeout: float | None) -> None:
        nonlocal woke
        now = clock()
        turns.took(now - woke, now)
        try:
            events = wait(-1 if timeout is None else timeout, len(selectables) or 1)
        finally:
            woke = clock()
            # Who waits for the interpreter's lock, which a thread does not give away, comes back late.
            if timeout is not None and woke > now + timeout + TICK:
                woke = now + timeout + TICK
        for number, event in events:
            selectable = selectables.get(number)  # None: an earlier event has closed it
            if selectable is not None:
                work(selectable, number, event)

    return turn


class Watchdog:
    """Measures the turns of a reactor: each of them where it polls by epoll, else by how late a regular call comes."""

    def __init__(self, reactor: Any, turns: Turns, clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._turns = turns
        self._clock = clock
        self._due = 0.0
        self._collected = gc.get_threshold()
        self._call: LoopingCall | None = None

    def start(self) -> None:
        """Measure from now on, and keep the garbage collector from stopping everything."""
        # What was imported and wired stays; looking through it again and again takes a tenth of a second each time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)
        # Other pollers than epoll are asked in other ways.
        if isinstance(getattr(self._reactor, "_poller", None), getattr(select, "epoll", ())):
            self._reactor.doIteration = measured(self._reactor, self._turns, self._clock)
            return
        self._due = self._clock() + BEAT
        self._call = LoopingCall(self._look)
        self._call.clock = self._reactor
        self._call.start(BEAT, now=False)

    def _look(self) -> None:
        now = self._clock()
        self._turns.took(max(0.0, now - self._due), now)
        self._due = now + BEAT

    def stop(self) -> None:
        """Measure no more."""
        gc.set_threshold(*self._collected)
        gc.unfreeze()
        if self._call is not None:
            self._call.stop()
        else:
            vars(self._reactor).pop("doIteration", None)
