"""What the daemon counts; plain numbers that ``+status`` shows."""

from __future__ import annotations

from attrs import define


@define
class Figures:
    """Counters since the start."""

    page_hits: int = 0  # pages answered from memory
    page_misses: int = 0  # pages for which a client waited for the upstream
    file_hits: int = 0  # files answered from the shelf or from a download that was under way already
    file_misses: int = 0  # files for which an upstream request was begun
    bytes_from_cache: int = 0
    bytes_from_upstream: int = 0
    evicted_files: int = 0
    evicted_bytes: int = 0

    def sent(self, size: int) -> None:
        """Bytes of held files went out."""
        self.bytes_from_cache += size

    def received(self, size: int) -> None:
        """Bytes came from an upstream."""
        self.bytes_from_upstream += size
