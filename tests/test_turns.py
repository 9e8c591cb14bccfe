"""How long the turns of the reactor take: the histogram, the last five minutes, the watchdogs."""

from __future__ import annotations

import gc
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


class WatchdogTests(SynchronousTestCase):
    def test_epoll(self) -> None:
        """From the end of one wait to the beginning of the next is a turn; the collector is set, and set back."""
        before, clock, reactor = gc.get_threshold(), Clock(), Polling()
        poller = reactor._poller
        self.addCleanup(poller.close)
        turns = Turns(clock.seconds)
        watchdog = Watchdog(reactor, turns, clock.seconds)
        watchdog.start()
        self.assertGreater(gc.get_threshold(), before)
        reactor._poller.poll(0, 1)
        clock.advance(0.02)
        reactor._poller.poll(0, 1)
        self.assertAlmostEqual(turns.since_start().worst, 0.02)
        watchdog.stop()
        self.assertIs(reactor._poller, poller)
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
        reactor._poller.poll(0.1, 1)
        reactor._poller.poll(0.0, 1)
        counted = turns.since_start()
        self.assertEqual(counted.turns, 2)
        self.assertEqual(sum(turns._all.counts[-25:]), 2)  # 1 s until the first wait, and the 0.4 s that it was late

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
