"""The circuit breaker against a model of what it should do."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pypicache.core.errors import UpstreamDown
from pypicache.upstream.breaker import FIRST_PAUSE, LONGEST_OBEYED, LONGEST_PAUSE, THRESHOLD, Breaker, retry_after


class BreakerMachine(RuleBasedStateMachine):
    """One request at a time; time passes between them."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker("http://up.example", jitter=lambda: 0.5)
        self.now = 1000.0
        self.failures = 0
        self.pause = FIRST_PAUSE
        self.until: float | None = None  # the circuit is open until then, and half-open after it
        self.entered = False

    @rule(seconds=st.floats(0.1, 200))
    def time_passes(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @precondition(lambda self: not self.entered)
    @rule()
    def enter(self) -> None:
        """Somebody wants to ask."""
        try:
            self.breaker.enter(self.now)
        except UpstreamDown as error:
            assert self.until is not None
            assert self.now < self.until
            assert error.retry_after >= 1
        else:
            assert self.until is None or self.now >= self.until
            self.entered = True

    @precondition(lambda self: self.entered)
    @rule()
    def leave(self) -> None:
        """It said nothing about the host."""
        self.breaker.left()
        self.entered = False

    @precondition(lambda self: self.entered)
    @rule()
    def succeed(self) -> None:
        """The host is well."""
        self.breaker.succeeded()
        self.entered, self.failures, self.pause, self.until = False, 0, FIRST_PAUSE, None

    @precondition(lambda self: self.entered)
    @rule(asked=st.none() | st.floats(1, 4000))
    def fail(self, asked: float | None) -> None:
        """The host is not well, and perhaps says for how long."""
        self.breaker.failed(self.now, "trouble", asked)
        self.entered = False
        self.failures += 1
        if asked is not None:
            self.until = max(self.until or 0, self.now + asked)
        elif self.until is not None or self.failures >= THRESHOLD:
            self.until = self.now + self.pause
            self.pause = min(2 * self.pause, LONGEST_PAUSE)

    @rule()
    @precondition(lambda self: not self.entered and self.until is not None and self.now < self.until)
    def a_late_failure(self) -> None:
        """A request that began before the circuit opened fails as well; that does not lengthen the pause."""
        self.breaker.failed(self.now, "trouble")
        self.failures += 1

    @invariant()
    def agrees(self) -> None:
        """State and time are those of the model."""
        if self.until is None:
            assert self.breaker.state(self.now) == "closed"
            assert self.breaker.retry_in(self.now) is None
        else:
            assert self.breaker.state(self.now) == ("open" if self.now < self.until else "half-open")
            assert self.breaker.retry_in(self.now) == max(0.0, self.until - self.now)
        assert self.breaker.failures == self.failures


TestBreaker = BreakerMachine.TestCase


def test_one_tries_a_half_open_circuit() -> None:
    """While it does, others are refused; when it leaves, the next one may."""
    breaker = Breaker("http://up.example")
    breaker.failed(0, "asked to wait", 10)
    breaker.enter(11)
    for _ in range(3):
        try:
            breaker.enter(11)
        except UpstreamDown:
            continue
        raise AssertionError("a second one was let through")
    breaker.left()
    breaker.enter(11)


def test_many_fail_together() -> None:
    """Sixty requests under way that fail in one moment open the circuit for its first pause, not for its longest."""
    breaker = Breaker("http://up.example", jitter=lambda: 0.5)
    for _ in range(60):
        breaker.enter(0)
    for _ in range(60):
        breaker.failed(0, "connection refused")
    assert breaker.retry_in(0) == FIRST_PAUSE


@given(st.text(max_size=40))
def test_any_retry_after(text: str) -> None:
    """Whatever an upstream sends is a bounded number of seconds, or nothing."""
    seconds = retry_after(text, 1_700_000_000)
    assert seconds is None or 0 <= seconds <= LONGEST_OBEYED


@given(st.integers(0, 10**12))
def test_retry_after_seconds(seconds: int) -> None:
    """Seconds are obeyed up to an hour."""
    assert retry_after(f" {seconds} ", 0) == min(seconds, LONGEST_OBEYED)


@given(st.integers(-10_000, 10_000))
def test_retry_after_date(seconds: int) -> None:
    """A date is obeyed as well; one that has passed means now."""
    now = 1_700_000_000
    assert retry_after(formatdate(now + seconds, usegmt=True), now) == min(max(0, seconds), LONGEST_OBEYED)


def test_no_retry_after() -> None:
    """No header, no pause."""
    assert retry_after(None, 0) is None
