"""Shared work, time-outs and waiting: nobody disturbs anybody."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from pypicache.tasks import Once, Shared, Tasks, TimedOut, Waiters, pause, within


async def waiting_for(gate: Deferred[Any]) -> Any:
    """Work that takes until the gate fires."""
    return await gate


class WaitersTests(SynchronousTestCase):
    """:class:`Waiters`."""

    @given(st.lists(st.sampled_from(["wait", "tell", "leave"]), max_size=30), st.randoms())
    def test_model(self, steps: list[str], random: Any) -> None:
        """Whoever waits when it happens is woken once; whoever left is not."""
        waiters = Waiters()
        waiting: list[Deferred[None]] = []
        for step in steps:
            if step == "wait":
                waiting.append(waiters.wait())
            elif step == "tell":
                waiters.tell()
                self.assertTrue(all(waiter.called for waiter in waiting))
                waiting = []
            elif waiting:
                waiter = waiting.pop(random.randrange(len(waiting)))
                waiter.cancel()
                self.failureResultOf(waiter, CancelledError)
            self.assertFalse(any(waiter.called for waiter in waiting))

    def test_one_makes_another_one_leave(self) -> None:
        """A waiter that is cancelled by one that was woken before it stops nobody else from being woken."""
        waiters = Waiters()
        first, second, third = waiters.wait(), waiters.wait(), waiters.wait()
        first.addCallback(lambda _: second.cancel())
        waiters.tell()
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)


class SharedTests(SynchronousTestCase):
    """:class:`Shared` and :class:`Once`."""

    @given(
        st.lists(st.tuples(st.sampled_from(["stay", "leave", "limit"]), st.integers(1, 9)), max_size=8),
        st.integers(0, 12),
        st.booleans(),
    )
    def test_model(self, callers: list[tuple[str, int]], ends: int, well: bool) -> None:
        """Callers stay, leave or run out of time; those who stay get the outcome, and the work goes on."""
        clock = Clock()
        gate: Deferred[str] = Deferred()
        shared = Shared(waiting_for(gate))
        joined = []
        for kind, moment in callers:
            limit = (clock, float(moment)) if kind == "limit" else ()
            caller: Deferred[str] = Deferred.fromCoroutine(shared.join(*limit))
            joined.append(caller)
            if kind == "leave":
                clock.callLater(moment, caller.cancel)
        clock.callLater(ends + 0.5, lambda: gate.callback("done" if well else Failure(ValueError("no"))))
        clock.pump([0.25] * 60)
        self.assertTrue(shared.done)
        self.assertEqual(clock.getDelayedCalls(), [])
        for (kind, moment), caller in zip(callers, joined, strict=True):
            if kind == "leave" and moment <= ends:
                self.failureResultOf(caller, CancelledError)
            elif kind == "limit" and moment <= ends:
                self.failureResultOf(caller, TimedOut)
            elif well:
                self.assertEqual(self.successResultOf(caller), "done")
            else:
                self.failureResultOf(caller, ValueError)
        self.successResultOf(shared.task)

    def test_cancelled_itself(self) -> None:
        """At shutdown those who wait are told."""
        shared = Shared(waiting_for(Deferred()))
        caller = Deferred.fromCoroutine(shared.join())
        shared.task.cancel()
        self.failureResultOf(caller, CancelledError)

    def test_once(self) -> None:
        """At most one piece of work per key is under way, and the next one begins after it."""
        once: Once[str, int] = Once()
        gates: list[Deferred[int]] = []

        def start(key: str) -> Shared[int]:
            def work() -> Any:
                gates.append(Deferred())
                return waiting_for(gates[-1])

            return once.start(key, work)

        first = start("a")
        self.assertIs(start("a"), first)
        self.assertIsNot(start("b"), first)
        self.assertEqual(len(gates), 2)
        gates[0].errback(ValueError())
        self.assertIsNot(start("a"), first)
        self.assertEqual(len(gates), 3)
        gates[2].callback(7)
        self.failureResultOf(Deferred.fromCoroutine(first.join()), ValueError)


class TasksTests(SynchronousTestCase):
    """:class:`Tasks`."""

    def test_stop(self) -> None:
        """Everything is cancelled and waited for, also what takes its time to end."""
        tasks = Tasks()
        slow: Deferred[None] = Deferred()
        ended = []

        async def work() -> None:
            try:
                await Deferred()
            finally:
                await slow
                ended.append(1)

        tasks.start(work(), "work")
        tasks.start(waiting_for(Deferred()), "more work")
        stopped = tasks.stop()
        self.assertNoResult(stopped)
        slow.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(ended, [1])

    def test_a_failure_is_logged(self) -> None:
        """With the sentence; a cancelled task is not."""
        said: list[Any] = []
        observer = cast("ILogObserver", said.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        tasks = Tasks()
        gate: Deferred[None] = Deferred()
        tasks.start(waiting_for(gate), "counting sheep")
        gate.errback(ValueError("no sheep"))
        self.assertEqual([event["what"] for event in said if "what" in event], ["counting sheep"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        tasks.start(waiting_for(Deferred()), "nothing")
        self.successResultOf(tasks.stop())
        self.assertEqual(len([event for event in said if "what" in event]), 1)


class WithinTests(SynchronousTestCase):
    """:func:`within` and :func:`pause`."""

    def test_in_time(self) -> None:
        """The result is passed on, and the clock has nothing left to do."""
        clock = Clock()
        gate: Deferred[int] = Deferred()
        outcome = within(clock, 5, gate)
        gate.callback(1)
        self.assertEqual(self.successResultOf(outcome), 1)
        self.assertEqual(clock.getDelayedCalls(), [])
        failing: Deferred[int] = Deferred()
        outcome = within(clock, 5, failing)
        failing.errback(ValueError())
        self.failureResultOf(outcome, ValueError)

    def test_too_late(self) -> None:
        """What was waited for is cancelled, and the outcome says why, whatever that one makes of being cancelled."""
        for canceller in (None, lambda gate: gate.errback(ValueError()), lambda gate: gate.callback(3)):
            clock = Clock()
            gate: Deferred[int] = Deferred(canceller)
            outcome = within(clock, 5, gate)
            clock.advance(4.9)
            self.assertNoResult(outcome)
            clock.advance(0.2)
            self.failureResultOf(outcome, TimedOut)
            self.assertTrue(gate.called)

    def test_cancelled(self) -> None:
        """The same when whoever waits leaves: it is told CancelledError."""
        for canceller in (None, lambda gate: gate.errback(ValueError()), lambda gate: gate.callback(3)):
            clock = Clock()
            gate: Deferred[int] = Deferred(canceller)
            outcome = within(clock, 5, gate)
            outcome.cancel()
            self.failureResultOf(outcome, CancelledError)
            self.assertTrue(gate.called)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_pause(self) -> None:
        """Waits by the clock, and leaves nothing behind when it is cancelled."""
        clock = Clock()
        waiting = Deferred.fromCoroutine(pause(clock, 2))
        clock.advance(2)
        self.successResultOf(waiting)
        waiting = Deferred.fromCoroutine(pause(clock, 2))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])
