"""The cap of the cache: what was not used for the longest time goes, and its space with it."""

from __future__ import annotations

import os
from hashlib import sha256
from types import SimpleNamespace

from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.files import FileCase, bytes_of
from tests.ring_one.house import UP
from tests.ring_one.test_files_metadata import METADATA, wheel_of

SIZE = 100_000
CAP = 10 * SIZE


class EvictionTests(FileCase):
    """A cap of ten files."""

    def settings(self) -> Settings:
        return Settings(
            state=self.directory, max_size=CAP,
            indexes=(
                MirrorSpec.from_options("root/pypi", {"mirror_url": UP}),
                MirrorSpec.from_options("team/other", {"mirror_url": UP}),
            ),
        )  # fmt: skip

    def fetch(self, number: int) -> str:
        """List and fetch one file; its URL. Every file has its own second of use."""
        self.advance(1)
        content = sha256(str(number).encode()).digest() + bytes_of(SIZE - 32)
        url = self.demo(content, name=f"demo-{number}.tar.gz", by_hand=False)
        self.assertEqual(self.get(url).body, content)
        return url

    def holds(self, url: str) -> bool:
        """Whether the file is on the shelf."""
        return self.house.shelf.holds(url.lstrip("/"))

    def on_disk(self) -> int:
        """Bytes that the shelf takes, every content once."""
        return sum({path.stat().st_ino: path.stat().st_size for path in self.shelf()}.values())

    def test_below_the_cap_nothing_goes(self) -> None:
        """Exactly full is not too full."""
        urls = [self.fetch(number) for number in range(10)]
        self.assertTrue(all(map(self.holds, urls)))

    def test_oldest_first(self) -> None:
        """The cap is passed: the oldest go, those that were used again stay; below the cap, in truth on disk."""
        urls = [self.fetch(number) for number in range(9)]
        self.advance(1)
        self.get(urls[0])
        urls += [self.fetch(number) for number in range(9, 12)]
        self.assertLessEqual(self.on_disk(), CAP)
        self.assertGreaterEqual(self.on_disk(), CAP * 8 // 10)
        held = [number for number, url in enumerate(urls) if self.holds(url)]
        self.assertIn(0, held)
        self.assertEqual([number for number in range(1, 12) if number not in held], list(range(1, 13 - len(held))))
        self.assertEqual(self.house.evictor.size, self.on_disk())
        self.assertEqual(self.house.evictor.files, len(held))
        status = self.get("/+status", accept="application/json").json()["result"]["cache"]
        self.assertEqual(status["evicted_files"], 12 - len(held))
        self.assertEqual(status["evicted_bytes"], SIZE * (12 - len(held)))

    def test_no_empty_directories_are_left(self) -> None:
        """A directory goes with its last file."""
        for number in range(15):
            self.fetch(number)
        empty = [path for path in (self.directory / "+files").rglob("*") if path.is_dir() and not any(path.iterdir())]
        self.assertEqual(empty, [])

    def test_evicted_and_fetched_again(self) -> None:
        """What left is fetched again when it is asked for."""
        first = self.fetch(0)
        for number in range(1, 12):
            self.fetch(number)
        self.assertFalse(self.holds(first))
        answer = self.get(first)
        self.assertEqual(answer.code, 200)
        self.assertTrue(self.holds(first))

    def test_never_what_is_in_use(self) -> None:
        """A file that a client is just reading stays, though it is the oldest."""
        first = self.fetch(0)
        kept = self.house.shelf.open(first.lstrip("/"))
        assert kept is not None
        urls = [self.fetch(number) for number in range(1, 12)]
        self.assertTrue(self.holds(first))
        self.assertFalse(self.holds(urls[0]))
        self.house.shelf.close(kept)
        for number in range(12, 15):
            self.fetch(number)
        self.assertFalse(self.holds(first))

    def test_hard_links_go_together(self) -> None:
        """Content with two names goes as a whole, and counts once; its space really returns."""
        first = self.fetch(0)
        self.get("/team/other/+simple/demo/")
        second = first.replace("root/pypi", "team/other")
        self.assertEqual(self.get(second).code, 200)
        self.assertEqual(self.house.shelf.path(first.lstrip("/")).stat().st_nlink, 2)
        self.assertEqual(self.on_disk(), SIZE)
        for number in range(1, 10):
            self.fetch(number)
        self.assertTrue(self.holds(first))
        self.assertTrue(self.holds(second))
        self.fetch(10)
        self.assertFalse(self.holds(first))
        self.assertFalse(self.holds(second))
        self.assertLessEqual(self.on_disk(), CAP)

    def test_use_under_either_name_counts(self) -> None:
        """A file that is used through one index is not old because the other index never asks for it."""
        first = self.fetch(0)
        self.get("/team/other/+simple/demo/")
        second = first.replace("root/pypi", "team/other")
        self.get(second)
        others = [self.fetch(number) for number in range(1, 9)]
        self.advance(1)
        self.get(second)
        for number in range(9, 12):
            self.fetch(number)
        self.assertTrue(self.holds(first))
        self.assertFalse(self.holds(others[0]))

    def test_metadata_that_we_made_stays(self) -> None:
        """The wheel goes; its metadata, which pages in clients' caches point to, does not."""
        wheel = wheel_of(METADATA)
        url = self.demo(wheel, by_hand=False)
        self.get(url)
        for number in range(12):
            self.fetch(number)
        self.assertFalse(self.holds(url))
        self.assertTrue(self.holds(url + ".metadata"))
        asked = len(self.up.log)
        self.assertEqual(self.get(url + ".metadata").body, METADATA)
        self.assertEqual(len(self.up.log), asked)

    def test_metadata_that_we_made_and_another_file_like_it(self) -> None:
        """Nor does it go because a file of the same content is old."""
        url = self.demo(wheel_of(METADATA), by_hand=False)
        self.get(url)
        same = self.demo(METADATA, name="demo-99.tar.gz", by_hand=False)
        self.assertEqual(self.get(same).body, METADATA)
        for number in range(12):
            self.fetch(number)
        self.assertFalse(self.holds(url))
        self.assertTrue(self.holds(url + ".metadata"))

    def test_larger_than_the_cap(self) -> None:
        """A file larger than everything is served, and the cache is below its cap afterwards."""
        large = bytes_of(CAP + 1)
        url = self.demo(large, by_hand=False)
        self.assertEqual(self.get(url).body, large)
        self.assertLessEqual(self.on_disk(), CAP)

    def test_after_a_restart(self) -> None:
        """A cap that became smaller is kept from the start on."""
        for number in range(8):
            self.fetch(number)
        self.stop()
        self.start(max_size=CAP // 2)
        self.house.upkeep.start()
        self.settle()
        self.assertLessEqual(self.on_disk(), CAP // 2)
        self.assertGreater(self.on_disk(), 0)

    def test_room_is_made_on_a_full_disk(self) -> None:
        """Where the disk is full before the cap is reached, old files make way for new ones."""
        urls = [self.fetch(number) for number in range(5)]

        def statvfs(_: object) -> object:
            return SimpleNamespace(f_bavail=5 * SIZE + SIZE // 2 + 5000 - self.on_disk(), f_blocks=100_000, f_frsize=1)

        self.patch(os, "statvfs", statvfs)
        urls.append(self.fetch(5))
        self.assertEqual([self.holds(url) for url in urls], [False, True, True, True, True, True])
        self.assertFalse(self.house.library.disk_full)

    def test_while_it_is_read(self) -> None:
        """A client that reads a file which is evicted in the same moment gets it to the end."""
        large = bytes_of(CAP // 2)
        url = self.demo(large, by_hand=False)
        self.get(url)
        client = self.begin(url)
        client.pause()
        for number in range(1, 12):
            self.fetch(number)
        client.go_on()
        self.assertEqual((client.ended_well, client.answer().body), (True, large))
