"""Coroutines that somebody else waits for: started once, shared by many, ended in order at shutdown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

K = TypeVar("K")
T = TypeVar("T")

InThread = Callable[..., "Deferred[Any]"]
"""Runs ``function(*arguments)`` where blocking is allowed and fires with its result; in tests it may run it at once."""


class TimedOut(Exception):
    """What was waited for did not come in time; it may still be under way."""


class Waiters:
    """Any number of coroutines waiting for one thing to happen; one that gives up disturbs no other."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def wait(self) -> Deferred[None]:
        """A Deferred that fires at the next :meth:`tell`."""
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiting.append(waiter)
        return waiter

    def _forget(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def tell(self) -> None:
        """Wake everybody who waits now."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:  # one that was woken before it may have made it give up
                waiter.callback(None)


class Shared(Generic[T]):
    """One coroutine, started at once, whose result any number of callers may await.

    A caller that is cancelled or runs out of time leaves; the coroutine goes on.
    """

    def __init__(self, work: Coroutine[Deferred[Any], Any, T]) -> None:
        self._waiters = Waiters()
        self._result: T | Failure | None = None
        self.done = False
        self.task: Deferred[None] = Deferred.fromCoroutine(work).addBoth(self._end)

    def _end(self, result: T | Failure) -> None:
        self._result = result
        self.done = True
        self._waiters.tell()

    async def join(self, clock: IReactorTime | None = None, seconds: float | None = None) -> T:
        """Wait for the result.

        :raises TimedOut: it did not come within ``seconds``.
        """
        if not self.done:
            waiting = self._waiters.wait()
            if clock is not None and seconds is not None:
                late = clock.callLater(seconds, waiting.cancel)
                try:
                    await waiting
                except CancelledError:
                    if late.active():
                        late.cancel()
                        raise
                    raise TimedOut from None
                if late.active():
                    late.cancel()
            else:
                await waiting
        if isinstance(self._result, Failure):
            self._result.raiseException()
        return self._result  # type: ignore[return-value]  # done, and no Failure: it is a T


async def all_of(work: Sequence[Coroutine[Deferred[Any], Any, T]]) -> list[T]:
    """Run coroutines side by side; their results in their order. The first failure ends the others.

    Whoever waits may be cancelled; then all of them are.
    """
    started = [Deferred.fromCoroutine(one) for one in work]
    try:
        return [await one for one in started]
    finally:
        for one in started:
            one.addErrback(lambda _: None)  # whoever waits was told of the first failure
            one.cancel()


class Once(Generic[K, T]):
    """Work that is under way at most once per key."""

    def __init__(self) -> None:
        self._under_way: dict[K, Shared[T]] = {}

    def start(self, key: K, work: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> Shared[T]:
        """What is under way for the key, or else new work."""
        under_way = self._under_way.get(key)
        if under_way is not None and not under_way.done:
            return under_way
        begun = Shared(work())
        if not begun.done:
            self._under_way[key] = begun
            begun.task.addCallback(lambda _: self._forget(key, begun))
        return begun

    def _forget(self, key: K, ended: Shared[T]) -> None:
        if self._under_way.get(key) is ended:
            del self._under_way[key]


class Tasks:
    """Coroutines started in the background, so that they can be ended at shutdown and their failures are logged."""

    log = Logger()

    def __init__(self) -> None:
        self._running: set[Deferred[None]] = set()

    def start(self, work: Coroutine[Deferred[Any], Any, object], what: str) -> None:
        """Run a coroutine; a failure is logged with the sentence ``what``."""
        self.keep(Deferred.fromCoroutine(work).addCallback(lambda _: None), what)

    def keep(self, task: Deferred[None], what: str) -> None:
        """Look after a Deferred until it fires."""
        self._running.add(task)

        def end(result: object) -> None:
            self._running.discard(task)
            if isinstance(result, Failure) and not result.check(CancelledError):
                self.log.failure("{what} failed", result, what=what)

        task.addBoth(end)

    def stop(self) -> Deferred[None]:
        """Cancel everything and wait until it has ended."""
        running = list(self._running)
        ended = DeferredList([_after(task) for task in running])
        for task in running:
            task.cancel()
        return ended.addCallback(lambda _: None)


def _after(task: Deferred[None]) -> Deferred[None]:
    after: Deferred[None] = Deferred()
    task.addBoth(lambda result: after.callback(None))
    return after


def within(clock: IReactorTime, seconds: float, waiting: Deferred[T]) -> Deferred[T]:
    """Cancel a Deferred that takes too long.

    The result fails with :exc:`TimedOut` then; and with :exc:`CancelledError` when it is cancelled itself, whatever the
    Deferred makes of that (a request of an agent fails with ``ResponseNeverReceived``).
    """
    leaving = False

    def leave(_: Deferred[T]) -> None:
        nonlocal leaving
        leaving = True
        waiting.cancel()

    def came(result: T | Failure) -> None:
        if not leaving:
            outcome.callback(result)

    outcome: Deferred[T] = Deferred(leave)
    waiting.addBoth(came)

    def late(value: T | Failure, _: float) -> T | Failure:
        if isinstance(value, Failure):
            value.trap(CancelledError)
            raise TimedOut from None
        return value

    return outcome.addTimeout(seconds, clock, onTimeoutCancel=late)


async def pause(clock: IReactorTime, seconds: float) -> None:
    """Wait by the clock."""
    waiting: Deferred[None] = Deferred()
    call = clock.callLater(seconds, waiting.callback, None)
    try:
        await waiting
    finally:
        if call.active():
            call.cancel()
