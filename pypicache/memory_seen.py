"""Tells at once what is surely not remembered, so that nobody asks the database for it."""

from __future__ import annotations

from collections.abc import Hashable
from mmap import mmap
from threading import Lock

BITS = 2**23  # 1 MiB, of which only what is touched takes memory; right for up to a million entries


class Seen:
    """A Bloom filter over everything that was ever noted.

    It never forgets: what was removed since costs a question to the database, no more.

    :ivar complete: whether what was there before is noted as well; until then everything may be there.
    """

    def __init__(self, bits: int = BITS) -> None:
        self.complete = False
        self._bits = mmap(-1, bits // 8)
        self._mask = bits - 1
        self._lock = Lock()  # notes are taken in two threads while the database is opened

    def note(self, entry: Hashable) -> None:
        """The entry is remembered from now on."""
        with self._lock:
            for place in self._places(entry):
                self._bits[place >> 3] |= 1 << (place & 7)

    def lacks(self, entry: Hashable) -> bool:
        """Whether the entry was surely never noted."""
        return self.complete and not all(self._bits[place >> 3] >> (place & 7) & 1 for place in self._places(entry))

    def _places(self, entry: Hashable) -> tuple[int, int]:
        mixed = hash(entry)
        return mixed & self._mask, mixed >> 32 & self._mask
