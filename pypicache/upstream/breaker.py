"""When an upstream host may be asked: a circuit breaker with back-off, obeying Retry-After."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from random import random

from pypicache.core.errors import UpstreamDown

THRESHOLD = 5  # failures in a row that open the circuit
FIRST_PAUSE = 2.0  # seconds
LONGEST_PAUSE = 120.0  # seconds
LONGEST_OBEYED = 3600.0  # seconds; a longer Retry-After is taken as this


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110 section 10.2.3); ``None`` if it cannot be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_OBEYED)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), LONGEST_OBEYED)
    except (TypeError, ValueError, OverflowError):
        return None


class Breaker:
    """The state of one upstream host.

    closed --5 failures in a row, or a 429/503 with Retry-After--> open --pause is over--> half-open
    half-open --one success--> closed;  half-open --failure--> open, with twice the pause
    """

    def __init__(self, host: str, jitter: Callable[[], float] = random) -> None:
        self.host = host
        self.failures = 0
        self.last_error: str | None = None
        self._pause = FIRST_PAUSE
        self._open_until: float | None = None
        self._trying = False
        self._jitter = jitter

    def state(self, now: float) -> str:
        """``closed``, ``open`` or ``half-open``."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def retry_in(self, now: float) -> float | None:
        """Seconds until the host is asked again; ``None`` while the circuit is closed."""
        return None if self._open_until is None else max(0.0, self._open_until - now)

    def enter(self, now: float) -> None:
        """Ask for leave to send one request. Every leave ends in :meth:`succeeded`, :meth:`failed` or :meth:`left`.

        :raises UpstreamDown: the circuit is open, or another request is just trying a half-open one.
        """
        if self._open_until is None:
            return
        if now < self._open_until or self._trying:
            raise UpstreamDown(
                f"{self.host} is not asked for now after {self.failures} failures: {self.last_error}",
                max(1.0, self._open_until - now),
            )
        self._trying = True

    def left(self) -> None:
        """The request ended without saying anything about the host."""
        self._trying = False

    def succeeded(self) -> None:
        """The host answered properly; a 404 is a proper answer."""
        self.failures = 0
        self._pause = FIRST_PAUSE
        self._open_until = None
        self._trying = False
        self.last_error = None

    def failed(self, now: float, why: str, pause: float | None = None) -> None:
        """The host could not be reached, answered with an error, or asked us to wait ``pause`` seconds."""
        self.failures += 1
        self.last_error = why
        if pause is not None:
            self._open_until = max(self._open_until or 0, now + pause)
        elif self._trying or (self._open_until is None and self.failures >= THRESHOLD):
            # The failures of requests that were under way already when the circuit opened do not lengthen the pause.
            self._open_until = now + self._pause * (0.75 + self._jitter() / 2)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._trying = False
