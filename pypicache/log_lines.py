"""The lines of the log: those of requests are many, and are written in bulk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import orjson
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsJSON, formatEventAsClassicLogText
from zope.interface import implementer

from pypicache.web.served import FORMAT, NAMESPACE, Served

_PREFIX = f" [{NAMESPACE}#info] "


class Output(Protocol):
    """Where lines are written."""

    def write(self, text: str, /) -> object:
        """Take text."""

    def flush(self) -> object:
        """Pass it on."""


@implementer(ILogObserver)
class LogLines:
    """Writes what happens, from level info on, one line each: text as twistd writes it, or JSON.

    Before :meth:`begin` nothing is written.
    """

    def __init__(self, *, machine: bool) -> None:
        self._output: Output | None = None
        self._machine = machine
        self._second = -1
        self._stamp = ""

    def begin(self, output: Output) -> None:
        """Write there from now on."""
        self._output = output

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level", LogLevel.info) < LogLevel.info:
            return
        text = eventAsJSON(event) + "\n" if self._machine else formatEventAsClassicLogText(event)
        if text:
            self._write(text)

    def requests(self, served: Sequence[Served]) -> None:
        """Write the lines of requests."""
        self._write("".join(map(self._json if self._machine else self._text, served)))

    def _write(self, text: str) -> None:
        if self._output is not None:
            self._output.write(text)
            self._output.flush()

    def _text(self, served: Served) -> str:
        second = int(served.time)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(second)) + _PREFIX
        return (
            f"{self._stamp}{served.client} {served.method} {served.path} {served.status} {served.size} "
            f"{served.agent!r}\n"
        )

    def _json(self, served: Served) -> str:
        said = {
            "log_time": served.time,
            "log_level": {"name": "info"},
            "log_namespace": NAMESPACE,
            "log_format": FORMAT,
            **served.fields(),
        }
        return orjson.dumps(said).decode() + "\n"
