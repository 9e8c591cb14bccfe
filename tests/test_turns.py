"""How long the turns of the reactor take: the histogram, the last five minutes, the watchdogs."""

from __future__ import annotations

import gc
import os
import select
from random import Random

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from pypicache.turns import BEAT, BOUNDS, SPAN, SPANS, WARN, Histogram, Length, Turns, Watchdog, lengths


class HistogramTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """Before the first turn there is nothing to say."""
        self.assertEqual(lengths([Histogram()]), Length(worst=0.0, p99=0.0, turns=0))

    def test_worst_and_99th_percentile(self) -> None:
        """The worst is exact; the percentile is at most one bucket, a quarter, too high, and never too low."""
        random = Random(1)  # noqa: S311 - nobody has to guess it
        turns = [random.lognormvariate(-6, 2) for _ in range(10_000)]
        histogram = Histogram()
        for seconds in turns:
            histogram.add(seconds)
        length = lengths([histogram])
        exact = sorted(turns)[9_899]
        self.assertEqual((length.worst, length.turns), (max(turns), 10_000))
        self.assertTrue(exact <= length.p99 <= exact * 1.26, (exact, length.p99))

    def test_constant_room(self) -> None:
        """No turn, however long, needs another bucket."""
        histogram = Histogram()
        for seconds in (0.0, 1e-9, 3600.0, 1e9):
            histogram.add(seconds)
        self.assertEqual((len(histogram.counts), sum(histogram.counts)), (len(BOUNDS) + 1, 4))
        self.assertEqual(lengths([histogram]).p99, 1e9)

    def test_no_longer_than_the_worst(self) -> None:
        """The end of a bucket is not shown where no turn came up to it."""
        histogram = Histogram()
        histogram.add(BOUNDS[20] * 1.01)
        self.assertEqual(lengths([histogram]).p99, histogram.worst)


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.turns = Turns(self.clock.seconds)

    def took(self, seconds: float) -> None:
        """A turn ended now."""
        self.turns.took(seconds, self.clock.seconds())

    def test_five_minutes(self) -> None:
        """What is older than five minutes is forgotten there, and stays in the figures since the start."""
        self.took(0.2)
        self.clock.advance(SPAN * (SPANS - 1))
        self.took(0.1)
        self.assertEqual((self.turns.recent().worst, self.turns.recent().turns), (0.2, 2))
        self.clock.advance(SPAN)
        self.assertEqual((self.turns.recent().worst, self.turns.recent().turns), (0.1, 1))
        self.clock.advance(SPAN * 1000)
        self.assertEqual(self.turns.recent(), Length())
        self.assertEqual((self.turns.since_start().worst, self.turns.since_start().turns), (0.2, 2))

    def test_one_line_for_a_long_turn(self) -> None:
        """A turn that keeps clients waiting is a line in the log; others are not."""
        with capturedLogs() as events:
            self.took(WARN)
            self.took(WARN + 0.5)
        self.assertEqual([event["seconds"] for event in events if "seconds" in event], [WARN + 0.5])


class Polling:
    """A reactor that polls by epoll, as far as the watchdog knows it."""

    def __init__(self) -> None:
        self._poller = select.epoll()
        self._selectables: dict[int, object] = {}
        self.done: list[tuple[object, int]] = []
        self.closed_by_the_first: list[int] = []

    def _doReadOrWrite(self, selectable: object, number: int, event: int) -> None:  # noqa: N802 -- of twisted's
        self.done.append((selectable, event))
        for closed in self.closed_by_the_first:
            self._selectables.pop(closed, None)

    def doIteration(self, delay: float | None) -> None:  # noqa: N802 -- of twisted's
        raise AssertionError("the reactor's own turn")


class WatchdogTests(SynchronousTestCase):
    def test_epoll(self) -> None:
        """From the end of one wait to the beginning of the next is a turn; the collector is set, and set back."""
        before, clock, reactor = gc.get_threshold(), Clock(), Polling()
        self.addCleanup(reactor._poller.close)
        turns = Turns(clock.seconds)
        watchdog = Watchdog(reactor, turns, clock.seconds)
        watchdog.start()
        self.assertGreater(gc.get_threshold(), before)
        reactor.doIteration(0)
        clock.advance(0.02)
        reactor.doIteration(0)
        self.assertAlmostEqual(turns.since_start().worst, 0.02)
        watchdog.stop()
        self.assertRaises(AssertionError, reactor.doIteration, 0)
        self.assertEqual(gc.get_threshold(), before)

    def test_late_from_waiting(self) -> None:
        """A wait that ends later than it should (a thread kept the interpreter's lock) counts as a turn."""
        moments = iter([0.0, 1.0, 1.5, 1.5, 1.6])  # start, before and after a wait of 0.1 s, before and after the next

        reactor = Polling()
        self.addCleanup(reactor._poller.close)
        turns = Turns(lambda: 0.0)
        watchdog = Watchdog(reactor, turns, lambda: next(moments))
        watchdog.start()
        self.addCleanup(watchdog.stop)
        reactor.doIteration(0.1)
        reactor.doIteration(0.0)
        counted = turns.since_start()
        self.assertEqual(counted.turns, 2)
        self.assertEqual(sum(turns._now.counts[-25:]), 2)  # 1 s until the first wait, and the 0.4 s that it was late

    def test_what_there_is_to_do(self) -> None:
        """Every event is passed on, but none for what an earlier one of the same turn has closed."""
        reactor = Polling()
        self.addCleanup(reactor._poller.close)
        ends = [end for pair in (os.pipe(), os.pipe()) for end in pair]
        for end in ends:
            self.addCleanup(os.close, end)
        writers = ends[1::2]
        for number in writers:
            reactor._poller.register(number, select.EPOLLOUT)
            reactor._selectables[number] = f"end {number}"
        watchdog = Watchdog(reactor, Turns(lambda: 0.0), lambda: 0.0)
        watchdog.start()
        self.addCleanup(watchdog.stop)
        reactor.doIteration(None)
        self.assertEqual(reactor.done, [(f"end {number}", select.EPOLLOUT) for number in writers])
        reactor.closed_by_the_first = writers
        reactor.doIteration(None)
        self.assertEqual(len(reactor.done), 3)

    def test_other_reactors(self) -> None:
        """A regular call tells by how much it is late."""
        clock = Clock()
        turns = Turns(clock.seconds)
        watchdog = Watchdog(clock, turns, clock.seconds)
        watchdog.start()
        clock.advance(BEAT)
        clock.advance(BEAT + 0.1)
        watchdog.stop()
        self.assertAlmostEqual(turns.since_start().worst, 0.1)
        clock.advance(60)
        self.assertEqual(turns.since_start().turns, 2)
