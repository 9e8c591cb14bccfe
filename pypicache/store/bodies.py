"""The bodies that a library opens: kept on the shelf, or to be had from the upstream."""

from __future__ import annotations

import os
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from zope.interface import implementer

from pypicache.core.model import File
from pypicache.figures import Figures
from pypicache.interfaces import IBody, IReader
from pypicache.store.local import Found, Kept, Shelf


def etag_of(file: File) -> str | None:
    """The strong entity tag of a file whose digest is known."""
    best = file.best_hash
    if best is None:
        return None
    algorithm, digest = best
    return digest if algorithm == "sha256" else f"{algorithm}-{digest}"


def uploaded(file: File) -> float | None:
    """When a file was uploaded, in whole seconds since the epoch."""
    return None if file.upload_time is None else _moment(file.upload_time)


@lru_cache(maxsize=4096)
def _moment(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return float(int(when.timestamp())) if when.tzinfo is not None else None


def http_seconds(date: str | None) -> float | None:
    """An HTTP date in seconds since the epoch; ``None`` if it is none."""
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def description(file: File, kept: Kept | Found) -> tuple[str, float]:
    """Entity tag, and last modification in seconds since the epoch, of a file on the shelf."""
    return (
        etag_of(file) or f"{kept.modified:.6f}-{kept.size:x}",
        uploaded(file) or float(int(kept.modified)),
    )


@implementer(IBody)
class KeptBody:
    """A file on the shelf."""

    def __init__(self, shelf: Shelf, kept: Kept, file: File, figures: Figures) -> None:
        self._shelf = shelf
        self._kept = kept
        self._figures = figures
        self._open = True
        self.size: int | None = kept.size
        self.etag: str | None
        self.modified: float | None
        self.etag, self.modified = description(file, kept)

    async def measure(self) -> None:
        pass

    def reader(self, first: int, end: int | None) -> IReader:
        return KeptReader(self._kept.descriptor, first, self._kept.size if end is None else end, self._figures)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._shelf.close(self._kept)


@implementer(IReader)
class KeptReader:
    """Reads a span of an open file; whoever opened it closes it."""

    def __init__(self, descriptor: int, first: int, end: int, figures: Figures | None = None) -> None:
        self._descriptor = descriptor
        self._at = first
        self._end = end
        self._figures = figures

    async def read(self, limit: int) -> bytes:
        piece = os.pread(self._descriptor, min(limit, self._end - self._at), self._at)
        self._at += len(piece)
        if self._figures is not None:
            self._figures.bytes_from_cache += len(piece)
        return piece

    def spooled(self) -> tuple[int, int, int] | None:
        left = self._end - self._at
        return (self._descriptor, self._at, left) if left > 0 else None

    def advance(self, count: int) -> None:
        self._at += count
        if self._figures is not None:
            self._figures.bytes_from_cache += count

    def close(self) -> None:
        pass
