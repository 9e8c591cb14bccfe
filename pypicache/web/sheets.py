"""Large pages where the kernel has them already: it sends them without copying them first."""

from __future__ import annotations

import fcntl
import os
from functools import partial
from weakref import ref

from pypicache.web.offers import Ready

LARGE = 128 * 2**10  # bytes; to copy less takes no longer than the calls that save it
MOST_BYTES = 32 * 2**20  # bytes of all sheets
MOST = 64  # sheets, each of which is an open file
SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE", "F_SEAL_SEAL")


class Sheet:
    """A body as a file in memory that nobody can change; it is closed when nobody has it any more.

    :raises OSError: there is no room for it, or this system has no such files.
    """

    def __init__(self, body: bytes) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("no files in memory")
        self.descriptor = os.memfd_create("page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, sum(getattr(fcntl, seal) for seal in SEALS))

    def leave(self) -> None:
        """Somebody has sent it; others may be at it."""

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Sheets:
    """Sheets of ready pages, as long as these are ready and there is room; the rest is sent from where it is."""

    def __init__(self, most_bytes: int = MOST_BYTES, most: int = MOST) -> None:
        self._room = most_bytes
        self._most = most
        self._sheets: dict[int, tuple[ref[Ready], Sheet]] = {}

    def of(self, ready: Ready) -> Sheet | None:
        """The sheet of a page, made at the first question."""
        key = id(ready)
        have = self._sheets.get(key)
        if have is not None and have[0]() is ready:
            return have[1]
        size = len(ready.body)
        if size > self._room or len(self._sheets) >= self._most:
            return None
        try:
            sheet = Sheet(ready.body)
        except OSError:
            self._most = len(self._sheets)  # not before another one goes
            return None
        self._sheets[key] = (ref(ready, partial(self._drop, key, size)), sheet)
        self._room -= size
        return sheet

    def _drop(self, key: int, size: int, gone: ref[Ready]) -> None:
        """A page is not ready any more."""
        self._sheets.pop(key)
        self._room += size
