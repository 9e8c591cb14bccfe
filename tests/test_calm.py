"""Work that nobody waits for begins when there is little to do, and not too late."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypicache.calm import BITE, LOOK, MOST, Calm


class CalmTests(SynchronousTestCase):
    """:class:`Calm` with a reactor that is as busy as the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.used = 0.0
        self.calm = Calm(self.clock, lambda: self.used)

    def pass_by(self, looks: int, busy: float) -> None:
        """Let time pass; ``busy`` is the part of it that the reactor works."""
        for _ in range(looks):
            self.used += busy * LOOK
            self.clock.advance(LOOK)

    def begun(self, work: list[Deferred[None]]) -> int:
        """How many have begun."""
        return sum(bool(one.called) for one in work)

    def test_a_calm_moment(self) -> None:
        """It is waited for, and then no more time is looked at."""
        work = [self.calm()]
        self.pass_by(3, 0.9)
        self.assertEqual(self.begun(work), 0)
        self.pass_by(1, 0.0)
        self.assertEqual(self.begun(work), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_calm_moment(self) -> None:
        """Each piece of work waits for so long at most, whenever it came."""
        early = [self.calm()]
        self.pass_by(round(MOST / LOOK) - 10, 1.0)
        late = [self.calm()]
        self.pass_by(11, 1.0)
        self.assertEqual((self.begun(early), self.begun(late)), (1, 0))
        self.pass_by(round(MOST / LOOK), 1.0)
        self.assertEqual(self.begun(late), 1)

    def test_much_work(self) -> None:
        """It begins a little at a time, in order, so that clients who come meanwhile hardly notice."""
        work = [self.calm() for _ in range(2 * BITE + 1)]
        counts = []
        for _ in range(3):
            self.pass_by(1, 0.0)
            counts.append(self.begun(work))
        self.assertEqual(counts, [BITE, 2 * BITE, 2 * BITE + 1])

    def test_one_that_gives_up(self) -> None:
        """The others begin all the same."""
        work = [self.calm() for _ in range(BITE + 1)]
        work[0].cancel()
        self.failureResultOf(work[0], CancelledError)
        self.pass_by(1, 0.0)
        self.assertEqual(self.begun(work), BITE + 1)
