"""Whether the bytes of a file are those that its index promised."""

from __future__ import annotations

import hashlib

from pypicache.core.errors import Corrupt
from pypicache.core.model import PREFERRED_HASHES, File


def _new(algorithm: str, digest: str) -> hashlib._Hash | hashlib.blake2b:
    if algorithm == "blake2b" and len(digest) < 128:  # the length is part of the algorithm; indexes use 256 bits
        return hashlib.blake2b(digest_size=len(digest) // 2, usedforsecurity=False)
    return hashlib.new(algorithm, usedforsecurity=False)


class Check:
    """Follows the bytes of one file and judges them at the end.

    The strongest digest that the index gives and that this Python can compute decides; sha256 is always computed.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._algorithm = next(
            (name for name in PREFERRED_HASHES if name in file.hashes and name in hashlib.algorithms_available), None
        )
        self._sha256 = hashlib.sha256()
        self._other = None
        if self._algorithm is not None and self._algorithm != "sha256":
            self._other = _new(self._algorithm, file.hashes[self._algorithm])
        self.size = 0  # bytes so far

    def copy(self) -> Check:
        """A check of the same file that goes on from here on its own."""
        twin = Check(self._file)
        twin._sha256 = self._sha256.copy()
        twin._other = None if self._other is None else self._other.copy()
        twin.size = self.size
        return twin

    def take(self, data: bytes, most: int | None = None) -> None:
        """The next bytes.

        :param most: bytes that there may be in all.
        :raises Corrupt: there are more; these are not taken.
        """
        if most is not None and self.size + len(data) > most:
            raise Corrupt(f"{self._file.name}: expected {most} bytes, got more")
        self.size += len(data)
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def decides(self) -> bool:
        """Whether the index gave a digest to compare with."""
        return self._algorithm is not None

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far, lower case hex."""
        return self._sha256.hexdigest()

    def judge(self, length: int | None) -> None:
        """Compare what came with what was promised.

        :param length: bytes by the upstream's own head, if it said so.
        :raises Corrupt: they differ; the sentence says which file, what was expected and what came.
        """
        if length is not None and self.size != length:
            raise Corrupt(f"{self._file.name}: expected {length} bytes, got {self.size}")
        if self._algorithm is None:
            return
        expected = self._file.hashes[self._algorithm]
        got = self.sha256 if self._other is None else self._other.hexdigest()
        if got != expected:
            raise Corrupt(f"{self._file.name}: expected {self._algorithm} {expected}, got {got}")
