"""What a process has only one of."""

from __future__ import annotations

from typing import Any


def running_reactor() -> Any:
    """The reactor of this process; the first call installs it, so `twist --reactor` has to have chosen before."""
    from twisted.internet import reactor

    return reactor
