"""Pages that are ready in memory, and compressed ones that outlive a restart."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing

import orjson
import zstandard

from pypicache.core import pieces
from pypicache.core.model import File
from pypicache.core.pieces import cut
from pypicache.core.simple_write import json_line
from pypicache.web import ready, written
from pypicache.web.written import LINE
from tests.ring_one.house import PIP, Answer, HouseCase, file_of, page_of
from tests.ring_one.stages import StagesCase

PATH = "/root/pypi/+simple/big/"


class ReadyCase(HouseCase):
    def setUp(self) -> None:
        super().setUp()
        self.compressed = 0  # bytes, into gzip
        deflated = pieces.deflated

        def counting(piece: memoryview) -> bytes:
            self.compressed += len(piece)
            return deflated(piece)

        self.patch(pieces, "deflated", counting)
        self.fill(100)

    def fill(self, count: int, name: str = "big") -> None:
        """Let the upstream have a project with so many files."""
        files = [file_of(f"{name}-{number}.tar.gz", b"%d" % number) for number in range(count)]
        self.up.pages[f"/simple/{name}/"] = page_of(name, *files)

    def big(self, coding: str = "gzip", **headers: str) -> Answer:
        """The page of the large project."""
        answer = self.get(PATH, accept=PIP, accept_encoding=coding, **headers)
        self.assertEqual((answer.code, answer.header("content-encoding")), (200, coding))
        return answer

    def again(self) -> None:
        """Restart the daemon."""
        self.stop()
        self.start()

    def rows(self) -> list[tuple[str, str, str]]:
        """Index, project and coding of all that is stored."""
        with closing(sqlite3.connect(self.directory / "memory.sqlite")) as connection:
            return connection.execute("SELECT idx, project, coding FROM coded ORDER BY 1, 2, 3").fetchall()

    def change(self, statement: str) -> None:
        """Change the database behind the daemon's back."""
        with closing(sqlite3.connect(self.directory / "memory.sqlite")) as connection, connection:
            connection.execute(statement)

    def lines(self, page: bytes) -> int:
        """What it takes to remember what a page says of each file."""
        return sum(len(orjson.dumps(file)) + LINE for file in orjson.loads(page)["files"])

    def figures(self) -> dict[str, int]:
        """What ``+status`` says of ready pages."""
        found: dict[str, int] = self.get("/+status", accept="application/json").json()["result"]["ready_pages"]
        return found


class StoredTests(ReadyCase):
    def test_compressed_once(self) -> None:
        """After a restart the page is sent as it was compressed before; the upstream is not asked."""
        before = self.big()
        self.again()
        after = self.big()
        self.assertEqual((after.body, after.header("etag")), (before.body, before.header("etag")))
        self.assertEqual(self.compressed, len(gzip.decompress(before.body)))
        self.assertEqual(self.up.asked("/simple/big/"), 1)

    def test_other_codings(self) -> None:
        """Another coding of a stored page is made from it, with the same digest in its entity tag."""
        packed = self.big()
        self.again()
        self.big()
        other = self.big("zstd")
        plain = zstandard.ZstdDecompressor().decompressobj().decompress(other.body)
        self.assertEqual(plain, gzip.decompress(packed.body))
        self.assertEqual(self.get(PATH, accept=PIP, accept_encoding="identity").body, plain)
        digest = cut(plain).digest
        self.assertEqual((packed.header("etag"), other.header("etag")), (f'"{digest}-jg"', f'"{digest}-jz"'))

    def test_small_pages_are_not_stored(self) -> None:
        """What is compressed in no time is not written down."""
        self.fill(45, "small")
        size = len(self.get("/root/pypi/+simple/small/", accept=PIP, accept_encoding="identity").body)
        self.assertTrue(ready.LARGE < 45 and size < ready.STORED, size)
        self.get("/root/pypi/+simple/small/", accept=PIP, accept_encoding="gzip")
        self.assertEqual(self.rows(), [])

    def test_another_revision(self) -> None:
        """A page that changed is compressed again, and what was stored before is gone, in all codings."""
        self.big()
        self.big("zstd")
        self.assertEqual(self.rows(), [("root/pypi", "big", "GZIP"), ("root/pypi", "big", "ZSTD")])
        self.fill(101)
        changed = self.big(cache_control="no-cache")
        self.assertIn(b"big-100.tar.gz", gzip.decompress(changed.body))
        self.assertEqual(self.rows(), [("root/pypi", "big", "GZIP")])

    def test_damaged_rows(self) -> None:
        """What is damaged, or was written by another version, is made again."""
        before = self.big()
        size = self.compressed
        for number, damage in enumerate(
            ("body = x'00'", "digest = x'00'", "sha256 = 'x'", "written_by = '0'", "revision = 's1'"), 2
        ):
            self.change(f"UPDATE coded SET {damage}")  # noqa: S608 -- constants
            self.again()
            self.assertEqual(self.big().body, before.body, damage)
            self.assertEqual(self.compressed, number * size, damage)

    def test_the_project_is_forgotten(self) -> None:
        """With the page of a project goes what was compressed of it; with an index all that is its."""
        self.big()
        self.successResultOf(self.house.memory.forget_page("root/pypi", "big"))
        self.assertEqual(self.rows(), [])
        self.again()
        self.big()
        self.assertEqual(len(self.rows()), 1)
        self.successResultOf(self.house.memory.forget_index("root/pypi"))
        self.assertEqual(self.rows(), [])

    def test_bounded(self) -> None:
        """What was stored first makes room for what comes."""
        size = len(self.big().body)
        self.stop()
        self.start(ready_pages=size * 5 // 2)
        for name in ("one", "two"):
            self.fill(100, name)
            self.get(f"/root/pypi/+simple/{name}/", accept=PIP, accept_encoding="gzip")
        self.assertEqual([project for _, project, _ in self.rows()], ["one", "two"])


class PiecesTests(ReadyCase):
    """Of a page that changed, what stayed the same is not compressed again."""

    def setUp(self) -> None:
        super().setUp()
        self.fill(1000)

    def test_a_file_more(self) -> None:
        """Only the piece that it is in is compressed; the answer is that of a daemon which knew no other page."""
        self.big()
        before = self.compressed
        self.fill(1001)
        after = self.big(cache_control="no-cache")
        plain = gzip.decompress(after.body)
        self.assertIn(b"big-1000.tar.gz", plain)
        self.assertTrue(0 < self.compressed - before < len(plain) / 3, self.compressed - before)
        self.stop()
        (self.directory / "memory.sqlite").unlink(missing_ok=True)
        self.start()
        afresh = self.big()
        self.assertEqual((afresh.body, afresh.header("etag")), (after.body, after.header("etag")))

    def test_clients_of_both_kinds(self) -> None:
        """That somebody had the page in another coding first makes no difference."""
        self.big()
        for count in (1001, 1002):
            before = self.compressed
            self.fill(count)
            self.big("zstd", cache_control="no-cache")
            plain = gzip.decompress(self.big().body)
            self.assertIn(b"big-%d.tar.gz" % (count - 1), plain)
            self.assertLess(self.compressed - before, len(plain) / 3)
            self.advance(2)

    def test_what_they_weigh(self) -> None:
        """Pieces of the revision before are kept for the next one only; lines are remembered of a page that changed."""
        size = len(self.big().body)
        plain = gzip.decompress(self.big().body)
        spans = pieces.ENTRY * len(cut(plain).digests)
        self.assertGreater(spans, pieces.ENTRY)
        self.assertEqual(self.figures()["bytes"], ready.ENTRY + size + spans)
        for count, kept in ((1001, size + spans), (1002, 0)):
            self.fill(count)
            other = self.big("zstd", cache_control="no-cache")
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(other.body)
            self.assertEqual(
                self.figures()["bytes"], ready.ENTRY + len(other.body) + kept + self.lines(plain), (count, kept)
            )
            self.advance(2)


class MemoryTests(ReadyCase):
    def test_figures(self) -> None:
        """Bytes are those of all codings that are kept and of the entry; the plain page is not among them."""
        packed = self.big()
        self.big()
        figures = self.figures()
        self.assertEqual(
            figures,
            {
                "bytes": len(packed.body) + ready.ENTRY,
                "most_bytes": 256 * 2**20,
                "pages": 1,
                "hits": 1,
                "misses": 1,
            },
        )
        other = self.big("zstd")
        self.assertEqual(self.figures()["bytes"], len(packed.body) + len(other.body) + ready.ENTRY)

    def test_bounded(self) -> None:
        """What was not used for the longest time goes, also when it is the only page and larger than the bound."""
        size = len(self.big().body)
        self.again()
        self.start(ready_pages=size + 2 * ready.ENTRY)
        self.big()
        self.assertEqual(self.figures()["pages"], 1)
        self.fill(100, "other")
        self.get("/root/pypi/+simple/other/", accept=PIP, accept_encoding="gzip")
        self.assertEqual(self.figures()["pages"], 1)
        self.assertLessEqual(self.figures()["bytes"], size + 2 * ready.ENTRY)
        self.start(ready_pages=size)
        self.big()
        self.assertEqual((self.figures()["pages"], self.figures()["bytes"]), (0, 0))

    def test_the_setting(self) -> None:
        """The bound comes from the configuration."""
        self.start(ready_pages="1 MiB")
        self.assertEqual(self.figures()["most_bytes"], 2**20)


class ChangingTests(StagesCase):
    """A large page that changes again and again."""

    def test_only_what_is_new_is_written(self) -> None:
        """From the second change on; and after each one it is what a daemon would write that was started just now."""
        seen: list[str] = []
        line = json_line

        def counting(file: File, url: str) -> bytes:
            seen.append(file.name)
            return line(file, url)

        self.patch(written, "json_line", counting)
        for number in range(ready.LARGE + 2):
            self.have("alice/dev", f"own-{number}.0.zip", b"%d" % number, version=f"{number}.0")
        path = "/alice/dev/+simple/own/"
        self.get(path, accept=PIP)
        self.assertEqual(seen, [])
        for number, written_anew in ((90, ready.LARGE + 3), (91, 1), (92, 1)):
            self.have("alice/dev", f"own-{number}.0.zip", b"more", version=f"{number}.0")
            seen.clear()
            page = self.get(path, accept=PIP)
            self.assertEqual((len(seen), seen[-1]), (written_anew, f"own-{number}.0.zip"))
        self.have("alice/dev", "own-7.0.zip", b"7", version="7.0", yanked=True)
        seen.clear()
        page = self.get(path, accept=PIP)
        self.assertEqual(seen, ["own-7.0.zip"])
        self.stop()
        (self.directory / "memory.sqlite").unlink(missing_ok=True)
        self.start()
        afresh = self.get(path, accept=PIP)
        self.assertEqual((afresh.body, afresh.header("etag")), (page.body, page.header("etag")))
