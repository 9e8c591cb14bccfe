"""How processes that accept connections on one socket share them."""

from __future__ import annotations

from typing import Any


def take_turns(port: Any) -> Any:
    """Have a port accept one connection at a time, so that the other processes are given theirs.

    Twisted's ports accept a hundred at once; of several processes the first to wake up would take all there are.
    """
    accept = port.doRead

    def accept_one() -> None:
        port.numberAccepts = 1
        accept()

    port.doRead = accept_one
    return port
