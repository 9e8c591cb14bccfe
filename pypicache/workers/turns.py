"""How processes that accept connections on one socket share them."""

from __future__ import annotations

from typing import Any

REST = 0.001  # seconds for which a process leaves the next connection to the others
RUSH = 0.005  # seconds; who accepts again so soon may accept twice as many at a time
MOST = 64  # connections accepted at a time


def take_turns(port: Any) -> Any:
    """Have a port leave connections to the other processes after each that it accepted.

    Twisted's ports accept a hundred at once: of several processes the first to wake up would take all there are. When
    very many come, resting is no use to anybody, and the turns become longer.
    """
    accept, clock = port.doRead, port.reactor
    length, last = 1, float("-inf")

    def accept_some() -> None:
        nonlocal length, last
        before, now = port.sessionno, clock.seconds()
        length = min(MOST, length * 2) if now - last < RUSH else 1
        port.numberAccepts = length
        accept()
        if port.sessionno != before:
            last = now
            port.stopReading()
            clock.callLater(REST, go_on)

    def go_on() -> None:
        if port.connected and not port.disconnecting:
            port.startReading()

    port.doRead = accept_some
    return port
