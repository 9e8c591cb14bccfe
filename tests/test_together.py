"""Work that goes to a thread together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from pypicache.together import MOST, Together


class Away:
    """A thread whose work is done when the test says so."""

    def __init__(self) -> None:
        self.trips: list[tuple[Callable[..., Any], tuple[object, ...], Deferred[Any]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        self.trips.append((function, arguments, Deferred()))
        return self.trips[-1][2]

    def back(self) -> None:
        function, arguments, fired = self.trips.pop(0)
        fired.callback(function(*arguments))


class TogetherTests(SynchronousTestCase):
    """:class:`Together`."""

    def setUp(self) -> None:
        self.away = Away()
        self.together = Together(self.away)

    def test_one_trip_for_all_who_wait(self) -> None:
        """In the order in which they came, each with its own result."""
        order: list[int] = []

        def note(number: int) -> int:
            order.append(number)
            return number

        results = [self.together(note, number) for number in range(5)]
        self.assertEqual(len(self.away.trips), 1)
        self.away.back()
        self.assertEqual((order, len(self.away.trips)), ([0], 1))
        self.away.back()
        self.assertEqual([self.successResultOf(result) for result in results], [0, 1, 2, 3, 4])
        self.assertEqual((order, self.away.trips), ([0, 1, 2, 3, 4], []))
        again = self.together(len, "abc")
        self.away.back()
        self.assertEqual(self.successResultOf(again), 3)

    def test_failures_are_their_own(self) -> None:
        results = [self.together(int, text) for text in ("1", "x", "3")]
        self.away.back()
        self.away.back()
        self.assertEqual((self.successResultOf(results[0]), self.successResultOf(results[2])), (1, 3))
        self.failureResultOf(results[1], ValueError)

    def test_a_thread_that_is_gone(self) -> None:
        """Everybody who waits for this trip is told; the next one is tried."""
        first, second = self.together(int, "1"), self.together(int, "2")
        self.away.trips.pop(0)[2].errback(RuntimeError("stopped"))
        self.failureResultOf(first, RuntimeError)
        self.away.back()
        self.assertEqual(self.successResultOf(second), 2)

    def test_whoever_gives_up_disturbs_nobody(self) -> None:
        self.together(int, "0")
        left, stays = self.together(int, "1"), self.together(int, "2")
        left.cancel()
        self.failureResultOf(left, CancelledError)
        self.away.back()
        self.away.back()
        self.assertEqual(self.successResultOf(stays), 2)

    def test_a_trip_has_an_end(self) -> None:
        results = [self.together(int, "7") for _ in range(MOST + 2)]
        self.away.back()
        self.away.back()
        self.assertEqual(sum(result.called for result in results), MOST + 1)
        self.away.back()
        self.assertTrue(all(result.called for result in results))

    def test_without_threads(self) -> None:
        together = Together(lambda function, *arguments: succeed(function(*arguments)))
        self.assertEqual(self.successResultOf(together(int, "4")), 4)
