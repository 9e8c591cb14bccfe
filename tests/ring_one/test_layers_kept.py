"""What was uploaded is no cache: nothing ever evicts it."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from pypicache.core.changes import IndexSaved
from tests.ring_one.stages import StagesCase


class KeptTests(StagesCase):
    def put_in_order(self) -> None:
        """Restart with a tiny cap, and do the chores."""
        self.stop()
        self.start(max_size=1)
        self.successResultOf(Deferred.fromCoroutine(self.house.upkeep.put_in_order()))
        self.successResultOf(Deferred.fromCoroutine(self.house.upkeep.sweep()))

    def test_an_upload_survives_the_smallest_cache(self) -> None:
        """The mirror's file next to it, even one with the same bytes, does not."""
        url = self.listed("root/pypi", "demo")["demo-1.0.tar.gz"]
        self.get(url)
        self.settle()
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        same = self.have("alice/dev", "same-1.0.tar.gz", b"from upstream")
        self.assertTrue(self.house.shelf.holds(url[1:]))
        self.put_in_order()
        self.assertFalse(self.house.shelf.holds(url[1:]))
        self.assertEqual(self.get(f"/alice/dev/{path}").body, b"own")
        self.assertEqual(self.get(f"/alice/dev/{same}").body, b"from upstream")
        self.assertEqual(self.successResultOf(self.house.memory.held_in("alice/dev")), [])

    def test_nor_is_it_taken_for_broken(self) -> None:
        """Mirrored files whose bytes are not what the path says are removed; uploads are left alone."""
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own", path="+f/abc/0123456789abc/own-1.0.tar.gz")
        self.put_in_order()
        self.assertTrue(self.held("alice/dev", path))

    def test_nor_in_an_index_that_this_version_cannot_read(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        self.record(IndexSaved(name="alice/dev", options={"type": "of another plugin"}))
        self.put_in_order()
        self.assertTrue(self.held("alice/dev", path))
