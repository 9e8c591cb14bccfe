"""Moments in which the reactor has little to do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

LOOK = 0.1  # seconds between two looks
LITTLE = 0.1  # the part of its time that the reactor may be busy when it has little to do
MOST = 5.0  # seconds after which nobody is made to wait any more
BITE = 25  # pieces of work that begin between two looks

WhenCalm = Callable[[], "Deferred[None]"]
"""Gives a Deferred that fires when the reactor has little to do, or after a while in any case."""


class Calm:
    """Makes work wait that nobody waits for, while the reactor is busy with clients.

    ::

        clients:  |||| ||||| |||| || |           |
        work:       w   w w    w        [w w] [w w]

    A thread that works beside the reactor takes the interpreter from it at every call to the disk, and gives it back at
    the next: small pieces of such work cost the clients more than they take themselves.

    :param busy: processor time that the reactor's thread has used so far, in seconds; asked in that thread.
    """

    def __init__(self, clock: IReactorTime, busy: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._busy = busy
        self._waiting: deque[tuple[float, Deferred[None]]] = deque()  # when they came, in seconds
        self._looks = False
        self._looked = (0.0, 0.0)  # seconds of the last look, by the clock and of the reactor's processor time

    def __call__(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append((self._clock.seconds(), waiting))
        if not self._looks:
            self._looks = True
            self._look_later()
        return waiting

    def _look_later(self) -> None:
        self._looked = (self._clock.seconds(), self._busy())
        self._clock.callLater(LOOK, self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        calm = self._busy() - self._looked[1] <= LITTLE * (now - self._looked[0])
        begun = 0
        while self._waiting and begun < BITE and (calm or now - self._waiting[0][0] >= MOST):
            waiting = self._waiting.popleft()[1]
            if not waiting.called:  # otherwise it was cancelled
                waiting.callback(None)
                begun += 1
        self._looks = bool(self._waiting)
        if self._looks:
            self._look_later()
