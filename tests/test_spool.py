"""Where the bytes of a download wait."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from pypicache.store.spool import SMALL, Allowance, Spool


class SpoolTests(SynchronousTestCase):
    """:class:`Spool`."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-test-"))
        self.numbers = count()
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def spool(self, size: int | None, allowance: Allowance) -> Spool:
        spool = Spool(self.directory / f"{next(self.numbers)}", allowance)
        self.addCleanup(spool.close)
        spool.begin(size)
        return spool

    def test_reads_what_was_written(self) -> None:
        for size in (5, SMALL + 1, None):
            spool = self.spool(size, Allowance())
            spool.write(b"hel", 0)
            spool.begin(size)  # the download is resumed
            spool.write(b"lo", 3)
            self.assertEqual((spool.read(3, 1), spool.read(9, 3)), (b"ell", b"lo"))
            spool.unlink()
            spool.close()
            self.assertFalse(spool.readable)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_memory_is_bounded(self) -> None:
        """What is large, of unknown size, or too much together, goes to the disk; what ends makes room."""
        allowance = Allowance(2 * SMALL)
        inside = [self.spool(SMALL, allowance) for _ in range(2)]
        self.assertEqual([spool.descriptor for spool in inside], [None, None])
        self.assertIsNotNone(self.spool(1, allowance).descriptor)
        inside[0].close()
        inside[0].close()
        self.assertEqual(allowance.left, SMALL)
        self.assertIsNone(self.spool(1, allowance).descriptor)
        self.assertIsNotNone(self.spool(SMALL + 1, Allowance()).descriptor)
        self.assertIsNotNone(self.spool(None, Allowance()).descriptor)
