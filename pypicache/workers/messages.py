"""What the daemon and its workers tell one another, over the worker's standard input and output.

::

    worker --> daemon   ("ready",)                         it accepts connections
                        ("ask", number, kind, ...)         is this at hand?
                        ("served", lines, uses, bytes)     what the worker answered since it last said so
    daemon --> worker   ("answer", number, offer or None)
                        ("changed", project or None, serial)  forget what you have of this project, or everything
                        ("stop",)                          accept no more, end when what is going out has gone

The order of messages is kept, so what a worker is told of after a change is what holds after it.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from struct import Struct
from typing import Any

_LENGTH = Struct("!I")
MOST = 512 * 2**20  # bytes of one message


def packed(*message: Any) -> bytes:
    """A message as bytes. Both ends are of one version of Python, and trust one another."""
    body = marshal.dumps(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Finds the messages in a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, ...]]:
        """Take bytes; the answer is the messages that are complete."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MOST:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_LENGTH.size : end])
            del self._buffer[:end]
            yield marshal.loads(body)  # noqa: S302 -- our own process wrote it
