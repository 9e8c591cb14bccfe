"""Small files of the shelf in memory, because to open, read and close one takes longer than to send it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

Stamp = tuple[int, int, int, int, int]
"""Device, inode, bytes, last changes of content and of inode in nanoseconds: with another content, another stamp."""

SMALL = 64 * 2**10  # bytes; larger files go from the disk to the network without passing through here
MOST_BYTES = 8 * 2**20  # bytes of all of them, and of the entries themselves
ENTRY = 600  # bytes that an entry takes besides its content
SETTLED = 2.0  # seconds; clocks of file systems are coarse, and a change within their tick leaves the stamp as it was


class SmallFiles:
    """Contents by key, each of one stamp; what was not used for the longest time goes first.

    :param now: seconds since the epoch, of the clock by which files are stamped.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, now: Callable[[], float] = time.time) -> None:
        self._most_bytes = most_bytes
        self._now = now
        self._contents: OrderedDict[str, tuple[Stamp, bytes]] = OrderedDict()
        self._weight = 0

    def get(self, key: str, stamp: Stamp) -> bytes | None:
        """The content of a file that has this stamp now."""
        have = self._contents.get(key)
        if have is None or have[0] != stamp:
            return None
        self._contents.move_to_end(key)
        return have[1]

    def put(self, key: str, stamp: Stamp, content: bytes) -> None:
        """Keep a content that was read while the file had this stamp, unless it was changed just now."""
        self.drop(key)
        if self._now() - stamp[4] / 1e9 < SETTLED:
            return
        self._contents[key] = (stamp, content)
        self._weight += ENTRY + len(content)
        while self._weight > self._most_bytes:
            self.drop(next(iter(self._contents)))

    def drop(self, key: str) -> None:
        """Forget a file."""
        have = self._contents.pop(key, None)
        if have is not None:
            self._weight -= ENTRY + len(have[1])
