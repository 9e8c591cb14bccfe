"""Small pieces of work for another thread, taken there together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pypicache.tasks import InThread

MOST = 200  # pieces of work taken along at once

Work = tuple[Callable[..., Any], tuple[object, ...], "Deferred[Any]"]


class Together:
    """Runs functions elsewhere, one after the other; what is asked for meanwhile waits and goes along in one trip.

    ::

        reactor: a           b c d                e
        thread:    [a.......]     [b, c, d......]   [e...]

    A trip to a thread and back costs about as much as a small piece of work there. Each function has its own result,
    and the failure of one is no other's.

    :param in_thread: makes the trip.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._waiting: list[Work] = []
        self._away = False

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        """Run ``function(*arguments)``; its order among others is the one in which they are given."""
        outcome: Deferred[Any] = Deferred()
        self._waiting.append((function, arguments, outcome))
        if not self._away:
            self._away = True
            self._go()
        return outcome

    def _go(self) -> None:
        along, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._in_thread(_run, along).addBoth(self._come_back, along)

    def _come_back(self, results: list[Any] | Failure, along: list[Work]) -> None:
        for number, (_, _, outcome) in enumerate(along):
            result = results if isinstance(results, Failure) else results[number]
            if not outcome.called:  # cancelled: nobody waits for it any more
                outcome.callback(result)  # a Failure goes the way of failures
        if self._waiting:
            self._go()
        else:
            self._away = False


def _run(along: list[Work]) -> list[Any]:
    results: list[Any] = []
    for function, arguments, _ in along:
        try:
            results.append(function(*arguments))
        except Exception:
            results.append(Failure())
    return results
