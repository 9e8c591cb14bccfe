"""Power cuts and lost databases: what lies on the shelf is whole, and is used again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from pypicache.store.local import Shelf
from pypicache.store.spool import SMALL
from tests.ring_one.files import AT, FileCase, bytes_of

CONTENT = bytes_of(50_000)


class Stopped(BaseException):
    """The process ends here, as by a power cut: nothing after it happens."""


class CrashTests(FileCase):
    """The daemon stops at every step of keeping a file."""

    def test_at_every_step(self) -> None:
        """Whatever the last thing was that happened: under ``+files`` is the whole file or none."""
        steps = ("utime", "fsync", "mkdir", "link", "unlink")
        for number, (name, before) in enumerate((name, before) for name in steps for before in (True, False)):
            shelf = Shelf(self.directory / f"crash-{number}")
            shelf.prepare()
            spooled = shelf.spool / "0-demo"
            spooled.write_bytes(CONTENT)
            real: Callable[..., Any] = getattr(os, name)

            def stop(*arguments: Any, _real: Callable[..., Any] = real, _before: bool = before, **keys: Any) -> None:
                if not _before:
                    _real(*arguments, **keys)
                raise Stopped

            patched = self.patch(os, name, stop)
            with self.assertRaises(Stopped):
                shelf.keep(spooled, "root/pypi/+f/abc/0123456789abc/demo-1.0.tar.gz", 1.0)
            patched.restore()
            found = [path.read_bytes() for path in shelf.root.rglob("*") if path.is_file()]
            self.assertIn(found, ([], [CONTENT]), (name, before))
            again = Shelf(self.directory / f"crash-{number}")
            again.prepare()
            self.assertEqual(list(again.spool.iterdir()), [], (name, before))

    def test_synced_before_it_is_linked(self) -> None:
        """A name may not reach the disk before the bytes do."""
        order: list[str] = []
        for name in ("fdatasync", "link"):
            real: Callable[..., Any] = getattr(os, name)

            def note(*arguments: Any, _name: str = name, _real: Callable[..., Any] = real, **keys: Any) -> Any:
                order.append(_name)
                return _real(*arguments, **keys)

            self.patch(os, name, note)
        self.get(self.demo(CONTENT, by_hand=False))
        self.assertEqual(order[0], "fdatasync")
        self.assertIn("link", order)

    def test_leftovers(self) -> None:
        """A download that was under way is forgotten at the next start."""
        client = self.begin(self.demo(bytes_of(SMALL + 1)))  # less would wait in memory
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.assertEqual(len(self.spooled()), 1)
        self.assertEqual(self.shelf(), [])
        (self.directory / "spool" / "left").mkdir()
        self.start()
        self.assertEqual(self.spooled(), ["left"])  # a directory is none of ours
        self.assertFalse(client.over)


class LostDatabaseTests(FileCase):
    """``memory.sqlite`` may be deleted or broken at any time."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.demo(CONTENT, name="demo-1.0.tar.gz", by_hand=False)
        self.assertEqual(self.get(self.url).body, CONTENT)
        self.asked = len(self.up.log)

    @property
    def database(self) -> Any:
        """The file."""
        return self.directory / "memory.sqlite"

    def restart(self) -> None:
        """Start anew, and put the shelf in order."""
        self.start()
        self.house.upkeep.start()
        self.settle()

    def assert_used_again(self) -> None:
        """The file is remembered, and served without asking for it."""
        self.assertEqual(self.successResultOf(self.house.memory.keys()), {self.url.lstrip("/")})
        self.assertEqual(self.house.evictor.size, len(CONTENT))
        self.files("demo")
        self.assertEqual(self.get(self.url).body, CONTENT)
        self.assertEqual(self.up.asked("/packages/demo-1.0.tar.gz"), 1)
        held = self.successResultOf(self.house.memory.held("root/pypi", "demo"))
        self.assertEqual([(file.size, file.made) for file in held], [(len(CONTENT), False)])

    def test_deleted(self) -> None:
        """It is made anew, and the shelf is walked."""
        self.stop()
        self.database.unlink()
        self.restart()
        self.assert_used_again()

    def test_garbage(self) -> None:
        """Something else is there: it is set aside, and said so."""
        self.stop()
        self.database.write_bytes(os.urandom(100_000))
        self.restart()
        self.assert_used_again()
        self.assertTrue(self.database.with_name("memory.sqlite.broken").exists())
        self.assertTrue(self.logged("warn", "begun anew"))

    def test_truncated(self) -> None:
        """Half of it is there, down to nothing."""
        self.stop()
        whole = self.database.read_bytes()
        for share in (0, 1, 50, 100, 4096, 5000, len(whole) // 2, len(whole) - 4096):
            self.database.write_bytes(whole[:share])
            self.restart()
            self.assert_used_again()
            self.stop()

    def test_another_schema(self) -> None:
        """A database of another version, or one that only says that it is of ours."""
        for script in (
            "PRAGMA user_version = 99",
            "DROP TABLE files",
            "DROP TABLE pages",
            "ALTER TABLE files DROP COLUMN size",
            "PRAGMA user_version = 0",
        ):
            self.stop()
            with sqlite3.connect(self.database) as connection:
                connection.executescript(script)
            connection.close()
            self.restart()
            self.assert_used_again()

    def test_broken_while_it_runs(self) -> None:
        """Pages and files are served all the same."""
        size = self.database.stat().st_size
        with self.database.open("r+b") as stream:
            stream.write(os.urandom(size))
        for left in ("-wal", "-shm"):
            path = self.database.with_name(f"memory.sqlite{left}")
            if path.exists():
                path.write_bytes(os.urandom(path.stat().st_size))
        self.assertEqual(self.get(self.url).body, CONTENT)
        self.advance(1)
        self.assertEqual(self.page("demo", cache_control="no-cache").code, 200)
        other = self.demo(CONTENT[:100], name="demo-2.0.tar.gz", by_hand=False)
        self.assertEqual(self.get(other).body, CONTENT[:100])

    def test_page_rebuilt_from_files(self) -> None:
        """Without database and upstream the page lists what is held."""
        self.stop()
        self.database.unlink()
        self.restart()
        self.network.refuses = True
        files = self.files("demo")
        self.assertEqual([(file["filename"], file["size"]) for file in files], [("demo-1.0.tar.gz", len(CONTENT))])
        self.assertEqual(self.get(files[0]["url"]).body, CONTENT)

    def test_wrong_bytes_on_the_shelf(self) -> None:
        """A file whose bytes are not those of its path is removed, and fetched again."""
        self.stop()
        self.database.unlink()
        self.house.shelf.path(self.url.lstrip("/")).write_bytes(CONTENT[:-1] + b"!")
        self.restart()
        self.assertEqual(self.shelf(), [])
        self.assertTrue(self.logged("error", "is not what its path says"))
        self.files("demo")
        self.assertEqual(self.get(self.url).body, CONTENT)

    def test_what_is_no_file_of_ours(self) -> None:
        """Things that a person put there do not stop the walk."""
        root = self.directory / "+files"
        (root / "demo-1.0.tar.gz").write_bytes(b"stray")
        (root / "root").mkdir(exist_ok=True)
        (root / "root" / "demo-1.0.tar.gz").write_bytes(b"stray")
        (root / "root" / "pypi" / "demo-1.0.tar.gz").write_bytes(b"stray")
        (root / "root" / "pypi" / "README").write_bytes(b"stray")
        (root / os.fsdecode(b"odd-\xff-1.0.tar.gz")).write_bytes(b"stray")
        (root / "root" / "pypi" / os.fsdecode(b"demo-\xff1.0.tar.gz")).write_bytes(b"stray")
        (root / "loop").symlink_to(root)
        self.stop()
        self.database.unlink()
        self.restart()
        self.assertFalse(self.logged("failed"), self.said)
        self.assert_used_again()

    def test_forgotten_when_removed(self) -> None:
        """A file that a person removed is forgotten at the next start, and fetched again."""
        self.stop()
        self.house.shelf.path(self.url.lstrip("/")).unlink()
        self.restart()
        self.assertEqual(self.successResultOf(self.house.memory.keys()), set())
        self.assertEqual(self.get(self.url).body, CONTENT)

    def test_removed_while_it_runs(self) -> None:
        """The same without a restart."""
        self.house.shelf.path(self.url.lstrip("/")).unlink()
        self.assertEqual(self.get(self.url).body, CONTENT)
        self.assertEqual(self.up.asked("/packages/demo-1.0.tar.gz"), 2)

    def test_without_digest(self) -> None:
        """Files below ``+e`` are used again too; there is nothing to compare them with."""
        url = self.demo(CONTENT[:10], by_hand=False, hashes={})
        self.get(url)
        self.stop()
        self.database.unlink()
        self.restart()
        self.files("demo")
        self.assertEqual(self.get(url).body, CONTENT[:10])
        self.assertEqual(self.up.asked(AT), 1)

    def test_disk_full_for_the_database(self) -> None:
        """New memories are lost, and nothing else."""
        self.successResultOf(self.house.memory.close())
        size = self.database.stat().st_size // 4096
        self.house.memory.database._ask(lambda connection: connection.execute(f"PRAGMA max_page_count = {size}"))
        for number in range(30):
            url = self.demo(CONTENT + bytes([number]), name=f"demo-2.{number}.tar.gz", by_hand=False)
            self.assertEqual(self.get(url).body, CONTENT + bytes([number]))
        self.assertTrue(self.logged("does not take this in"))
        self.assertEqual(len(self.shelf()), 31)
