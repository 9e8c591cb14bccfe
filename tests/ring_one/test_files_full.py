"""A disk that takes no more: files are passed through, verified, and nothing is stored."""

from __future__ import annotations

import errno
import os
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from tests.ring_one.files import WHEEL, FileCase, bytes_of

CONTENT = bytes_of(300_000)
LARGE = bytes_of(8 * 2**20)


class FullDiskCase(FileCase):
    """The operating system refuses to write when :attr:`full` is set."""

    full = False
    after = 0  # bytes that are taken nevertheless

    def setUp(self) -> None:
        super().setUp()
        pwrite = os.pwrite

        def write(descriptor: int, data: Any, at: int) -> int:
            if self.full and at + len(data) > self.after:
                if at < self.after:
                    return pwrite(descriptor, data[: self.after - at], at)
                raise OSError(errno.ENOSPC, "No space left on device")
            return pwrite(descriptor, data, at)

        self.patch(os, "pwrite", write)

    @property
    def full_disk(self) -> bool:
        """What ``+status`` says."""
        said: bool = self.get("/+status", accept="application/json").json()["result"]["cache"]["full_disk"]
        return said


class FullDiskTests(FullDiskCase):
    """Clients get their bytes all the same."""

    def test_from_the_first_byte(self) -> None:
        """The file goes through, whole and verified; status and log tell; nothing is stored."""
        url = self.demo(CONTENT)
        self.full = True
        client = self.begin(url)
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.assertIsNone(client.code)
        coming = self.incoming
        coming.head()
        coming.send(1000)
        self.assertEqual(client.received, CONTENT[:999])
        coming.rest()
        self.assertEqual((client.ended_well, client.answer().body), (True, CONTENT))
        self.assert_nothing_kept()
        self.assertTrue(self.full_disk)
        self.assertTrue(self.logged("error", "the disk takes no more"))

    def test_in_the_middle(self) -> None:
        """What is in the spool comes from there, the rest from the upstream, for each client on its own."""
        url = self.demo(CONTENT)
        self.full, self.after = True, 100_000
        clients = [self.begin(url), self.begin(url)]
        coming = self.incoming
        coming.head(etag='"one"')
        coming.send(200_000)
        self.assertEqual(len(self.up.incoming), 2)
        for later in list(self.up.incoming):
            later.settle = self.settle
            first = (later.range or (0, None))[0]
            self.assertTrue(0 < first <= 100_000, first)
            later.part(etag='"one"')
            later.rest()
        self.assertEqual([client.answer().body == CONTENT for client in clients], [True, True])
        self.assert_nothing_kept()
        self.assertTrue(self.full_disk)

    def test_in_the_middle_without_ranges(self) -> None:
        """An upstream without ranges sends all again, of which the beginning is skipped."""
        url = self.demo(CONTENT)
        self.full, self.after = True, 100_000
        client = self.begin(url)
        coming = self.incoming
        coming.head()
        coming.send(200_000)
        again = self.incoming
        again.head()
        again.rest()
        self.assertEqual((client.ended_well, client.answer().body), (True, CONTENT))

    def test_in_the_middle_wrong(self) -> None:
        """The digest spans spool and rest: wrong bytes in either of them are never a whole answer."""
        for wrong in (50_000, 250_000):
            content = bytes_of(300_000 + wrong)[wrong:]
            url = self.demo(content, name=f"demo-{wrong}-py3-none-any.whl")
            self.full, self.after = True, 100_000
            client = self.begin(url)
            coming = self.incoming
            bad = bytearray(content)
            bad[wrong] ^= 1
            coming.content = bytes(bad)
            coming.head()
            coming.send(200_000)
            again = self.incoming
            again.content = bytes(bad)
            again.part()
            again.rest()
            self.assertTrue(client.over)
            self.assertFalse(client.ended_well)
            self.assertTrue(self.logged(f"demo-{wrong}", "expected sha256"))
            self.advance(31)

    def test_digest_still_counts(self) -> None:
        """While files are passed through, the digest is enforced as ever."""
        url = self.demo(CONTENT)
        self.full = True
        self.begin(url)
        self.incoming.cut()
        self.house.library._note_full(OSError(errno.ENOSPC, "full"))
        self.settle()
        self.up.incoming.clear()
        other = self.demo(LARGE, name="demo-2.0-py3-none-any.whl")
        client = self.begin(other)
        coming = self.incoming
        coming.head()
        coming.say(bytes(len(LARGE)))
        coming.end()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assertLess(len(client.received), len(LARGE))
        self.assertTrue(self.logged("demo-2.0", sha256(LARGE).hexdigest()))

    def test_no_room_by_the_system_s_own_word(self) -> None:
        """A file that is larger than what is free is not begun; one that fits is stored."""
        free = SimpleNamespace(f_bavail=1000, f_blocks=2**20, f_frsize=4096)
        self.patch(os, "statvfs", lambda _: free)
        client = self.begin(self.demo(LARGE))
        self.incoming.head()
        coming = self.incoming
        coming.head()
        coming.rest()
        self.assertEqual(client.answer().body, LARGE)
        self.assert_nothing_kept()
        self.assertTrue(self.full_disk)

    def test_it_recovers(self) -> None:
        """Half a minute later the disk is tried again."""
        url = self.demo(CONTENT, by_hand=False)
        self.full = True
        self.assertEqual(self.get(url).body, CONTENT)
        self.full = False
        self.assertEqual(self.get(url).body, CONTENT)
        self.assertEqual(self.shelf(), [])
        self.advance(31)
        self.assertFalse(self.full_disk)
        self.assertEqual(self.get(url).body, CONTENT)
        self.assertEqual(len(self.shelf()), 1)
        asked = len(self.up.log)
        self.assertEqual(self.get(url).body, CONTENT)
        self.assertEqual(len(self.up.log), asked)

    def test_full_when_linking(self) -> None:
        """The last step fails: the client has its file, the next one fetches it again."""
        url = self.demo(CONTENT, by_hand=False)

        def link(*_: object, **__: object) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        self.patch(os, "link", link)
        self.assertEqual(self.get(url).body, CONTENT)
        self.assert_nothing_kept()
        self.assertTrue(self.full_disk)
        self.assertEqual(self.get(url).body, CONTENT)

    def test_full_when_opening(self) -> None:
        """Not even a spool file can be made."""
        url = self.demo(CONTENT, by_hand=False)
        (self.directory / "spool").rmdir()
        (self.directory / "spool").write_bytes(b"")
        answer = self.get(url)
        self.assertEqual((answer.code, answer.body, answer.whole), (200, CONTENT, True))
        self.assertTrue(self.full_disk)
        (self.directory / "spool").unlink()
        (self.directory / "spool").mkdir()

    def test_ranges_and_head(self) -> None:
        """Parts are passed through as well, and HEAD says the length."""
        url = self.demo(CONTENT, by_hand=False)
        self.full = True
        self.get(url)
        self.assertTrue(self.full_disk)
        part = self.get(url, range="bytes=1000-1999")
        self.assertEqual((part.code, part.body), (206, CONTENT[1000:2000]))
        self.assertEqual(self.get(url, "HEAD").header("content-length"), str(len(CONTENT)))
        self.up.ranges = False
        part = self.get(url, range="bytes=1000-1999")
        self.assertEqual((part.code, part.body), (206, CONTENT[1000:2000]))

    def test_unknown_size(self) -> None:
        """A range of a file of unknown size waits for it, although nothing can be stored."""
        url = self.demo(CONTENT, by_hand=False, size=None)
        self.full = True
        self.assertEqual(self.get(url).body, CONTENT)
        part = self.get(url, range="bytes=-10")
        self.assertEqual((part.code, part.body), (206, CONTENT[-10:]))
        self.assertEqual(self.get(url, "HEAD").header("content-length"), str(len(CONTENT)))

    def test_metadata_that_we_make(self) -> None:
        """What cannot be stored is not listed."""
        url = self.demo(CONTENT, by_hand=False)
        self.full = True
        self.get(url)
        self.assertNotIn("core-metadata", self.files("demo")[0])


class ThroughTests(FullDiskCase):
    """The upstream is held back to the pace of the one client."""

    def passing(self, content: bytes, **keys: Any) -> Any:
        """A client of a file that is passed through, and the upstream's side."""
        url = self.demo(content, **keys)
        self.house.library._note_full(OSError(errno.ENOSPC, "full"))
        client = self.begin(url)
        return client, self.incoming

    def flood(self, coming: Any) -> None:
        """Send as much as the network takes."""
        for _ in range(len(coming.content) // 65536 + 1):
            if coming.paused or coming.at >= len(coming.content):
                break
            coming.send(65536)

    def test_flow(self) -> None:
        """A client that does not read stops the upstream after a bounded number of bytes; nothing is lost."""
        client, coming = self.passing(LARGE)
        coming.head()
        coming.send(1000)
        client.pause()
        self.flood(coming)
        self.assertTrue(coming.paused)
        self.assertLess(coming.sent, 2**20)
        self.advance(100)
        self.assertFalse(coming.gone)
        for _ in range(1000):
            client.go_on()
            if coming.at >= len(LARGE):
                break
            self.flood(coming)
        coming.end()
        self.assertEqual((client.ended_well, client.answer().body), (True, LARGE))
        self.assert_nothing_kept()

    def test_a_client_that_leaves(self) -> None:
        """Nobody else wants these bytes: the upstream is hung up on."""
        client, coming = self.passing(LARGE)
        coming.head()
        coming.send(1000)
        self.settle()
        client.leave()
        self.settle()
        self.assertTrue(coming.gone)

    def test_a_client_that_leaves_before_the_head(self) -> None:
        """The same before anything came, and the place among the connections is free again."""
        for _ in range(100):
            client, coming = self.passing(LARGE)
            client.leave()
            self.settle()
            self.assertTrue(coming.gone)
        client, coming = self.passing(LARGE)
        coming.head()
        coming.rest()
        self.assertEqual(client.answer().body, LARGE)

    def test_broken_off(self) -> None:
        """The client is cut off, and does not hold what looks whole."""
        client, coming = self.passing(CONTENT)
        coming.head()
        coming.send(1000)
        coming.cut()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)

    def test_silence(self) -> None:
        """30 seconds without a byte that somebody waits for end it."""
        client, coming = self.passing(CONTENT)
        coming.head()
        coming.send(1000)
        self.advance(31)
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assertTrue(coming.gone)

    def test_longer_than_promised(self) -> None:
        """A chunked answer with more than the page said is cut before its end."""
        client, coming = self.passing(CONTENT)
        coming.head(chunked=True)
        coming.say(bytes(len(CONTENT)))
        coming.say(b"more")
        coming.end()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assertLess(len(client.received), len(CONTENT))

    def test_no_digest_and_no_length(self) -> None:
        """A connection that is just closed is not the end of a file that nothing else describes."""
        client, coming = self.passing(CONTENT, hashes={}, size=None)
        coming.request.clientproto = b"HTTP/1.0"
        coming.head(chunked=True)
        coming.send(1000)
        coming.end()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)

    def test_digest_and_no_length(self) -> None:
        """With a digest it is, if that is right."""
        client, coming = self.passing(CONTENT, size=None)
        coming.request.clientproto = b"HTTP/1.0"
        coming.head(chunked=True)
        coming.rest()
        self.assertEqual((client.ended_well, client.answer().body), (True, CONTENT))
        self.assertFalse(self.logged(WHEEL, "cut off"))
