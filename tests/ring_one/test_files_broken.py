"""Files whose upstream breaks off, falls silent, or sends something else."""

from __future__ import annotations

import hashlib
from hashlib import sha256
from itertools import pairwise
from typing import Any

from tests.ring_one.files import WHEEL, Client, FileCase, Incoming, bytes_of

CONTENT = bytes_of(300_000)
SHA256 = sha256(CONTENT).hexdigest()
TAG = '"upstream-1"'


class ResumedTests(FileCase):
    """A connection that breaks is taken up again, and clients do not notice."""

    def begun(self, sent: int = 1000, content: bytes = CONTENT, **keys: Any) -> tuple[Client, Incoming]:
        """A client, and a download of which some bytes are here."""
        client = self.begin(self.demo(content, **keys))
        coming = self.incoming
        coming.head(etag=TAG)
        coming.send(sent)
        return client, coming

    def again(self) -> Incoming:
        """The next request of the download, after a pause by the clock."""
        self.assertEqual(self.up.incoming, [])
        self.advance(0.5)
        return self.incoming

    def test_resumed(self) -> None:
        """The rest is asked for with Range and If-Range; the client gets every byte once (conformance test 45)."""
        client, coming = self.begun()
        coming.cut()
        self.assertFalse(client.over)
        coming = self.again()
        self.assertEqual((coming.range, coming.header("if-range")), ((1000, None), TAG))
        coming.part(etag=TAG)
        coming.rest()
        self.assertEqual((client.ended_well, client.answer().body), (True, CONTENT))
        self.assertEqual([path.read_bytes() for path in self.shelf()], [CONTENT])

    def test_resumed_many_times(self) -> None:
        """As long as every attempt brings something, any number of breaks is survived."""
        client, coming = self.begun()
        for _ in range(20):
            coming.cut()
            coming = self.again()
            coming.part(etag=TAG)
            coming.send(1000)
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_given_up(self) -> None:
        """After some attempts that bring nothing the client is cut off, and a later one may try again."""
        client, coming = self.begun()
        attempts = 0
        coming.cut()
        for _ in range(300):
            self.advance(1)
            if self.up.incoming:
                attempts += 1
                self.incoming.cut()
            if client.over:
                break
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assertEqual(client.received, CONTENT[:999])
        self.assertTrue(3 <= attempts <= 8, attempts)
        self.assert_nothing_kept()
        self.advance(120)
        second = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head(etag=TAG)
        coming.rest()
        self.assertEqual(second.answer().body, CONTENT)

    def test_given_up_when_chunked(self) -> None:
        """The same for a file of unknown size: the chunked answer does not end properly (conformance test 45)."""
        url = self.demo(CONTENT, size=None)
        client = self.begin(url)
        coming = self.incoming
        coming.head(chunked=True)
        coming.send(1000)
        self.network.refuses = True
        coming.cut()
        for _ in range(300):
            self.advance(1)
        self.assertTrue(client.over)
        self.assertIsNone(client.length)
        self.assertFalse(client.ended_well)
        self.assert_nothing_kept()

    def test_attempts_are_spread(self) -> None:
        """The pauses between fruitless attempts grow."""
        _, coming = self.begun()
        coming.cut()
        moments = []
        for tenth in range(600):
            self.advance(0.1)
            if self.up.incoming:
                moments.append(tenth)
                coming = self.incoming
                coming.part(etag=TAG)
                coming.cut()
        pauses = [later - earlier for earlier, later in pairwise(moments)]
        self.assertGreater(len(pauses), 2)
        self.assertEqual(pauses, sorted(pauses))
        self.assertGreater(pauses[-1], 2 * pauses[0])

    def test_silence_counts_as_a_break(self) -> None:
        """30 seconds without a byte, and the rest is asked for anew; 29 are borne."""
        client, coming = self.begun()
        self.advance(29)
        coming.send(1)
        self.advance(29)
        self.assertFalse(coming.gone)
        self.advance(1.5)
        self.assertTrue(coming.gone)
        coming = self.again()
        self.assertEqual(coming.range, (1001, None))
        coming.part(etag=TAG)
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_answered_with_all_of_it(self) -> None:
        """An upstream that has no ranges, or says that the file is another one, sends all: what is here is skipped."""
        client, coming = self.begun()
        coming.cut()
        coming = self.again()
        coming.head(200, etag='"upstream-2"')
        coming.send(700)
        coming.send(700)
        self.assertEqual(client.received, CONTENT[:1399])
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_broken_while_skipping(self) -> None:
        """A break before the skipped part is over loses nothing and repeats nothing."""
        client, coming = self.begun()
        coming.cut()
        coming = self.again()
        coming.head(200, etag=TAG)
        coming.send(500)
        coming.cut()
        self.advance(0.5)
        coming = self.incoming
        coming.head(200, etag=TAG)
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_another_file_of_the_same_length(self) -> None:
        """What changed during the download fails at the digest, and never as a whole answer."""
        client, coming = self.begun()
        coming.cut()
        coming = self.again()
        coming.content = bytes(len(CONTENT))
        coming.head(200, etag='"upstream-2"')
        coming.rest()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assert_nothing_kept()

    def test_without_digest_another_tag_ends_it(self) -> None:
        """Where no digest can tell, parts with different tags are not put together, be the answer 200 or 206."""
        for code in (200, 206):
            name = f"demo-{code}-py3-none-any.whl"
            client, coming = self.begun(name=name, hashes={})
            coming.cut()
            coming = self.again()
            if code == 200:
                coming.head(200, etag='"upstream-2"')
            else:
                coming.part(etag='"upstream-2"')
            self.assertTrue(client.over, code)
            self.assertFalse(client.ended_well)
            self.assert_nothing_kept()

    def test_without_digest_and_tag(self) -> None:
        """Where nothing at all can tell, parts are not put together either."""
        client = self.begin(self.demo(CONTENT, hashes={}))
        coming = self.incoming
        coming.head()
        coming.send(1000)
        coming.cut()
        coming = self.again()
        coming.part()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assert_nothing_kept()

    def test_without_digest_same_tag(self) -> None:
        """With the same tag they are."""
        client, coming = self.begun(hashes={})
        coming.cut()
        coming = self.again()
        coming.part(etag=TAG)
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_another_range_than_asked_for(self) -> None:
        """Bytes from another place are not taken; the next attempt may do better."""
        lies = ("bytes 900-299999/300000", "bytes 1000-299999/300001", "1000-299999/300000", "bytes */300000")
        for number, lie in enumerate(lies):
            content = CONTENT[:-1] + bytes([number])
            client, coming = self.begun(content=content, name=f"demo-1.{number}-py3-none-any.whl")
            coming.cut()
            coming = self.again()
            coming.part(etag=TAG, content_range=lie)
            coming.send(100)
            self.assertFalse(client.over, lie)
            self.advance(1)
            coming = self.incoming
            self.assertEqual(coming.range, (1000, None))
            coming.part(etag=TAG)
            coming.rest()
            self.assertEqual(client.answer().body, content)

    def test_it_vanished(self) -> None:
        """A 404 during the download cuts the client off; 404 is not said of a file that was half sent."""
        client, coming = self.begun()
        coming.cut()
        coming = self.again()
        coming.head(404, length=0)
        coming.end()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assert_nothing_kept()

    def test_nothing_came(self) -> None:
        """Before the first byte an error is an answer: 503, or 404 if the upstream has no such file."""
        url = self.demo(CONTENT)
        client = self.begin(url)
        self.incoming.head(404, length=0)
        self.assertEqual(client.answer().code, 404)
        client = self.begin(url)
        self.incoming.head(500, length=0)
        self.assertEqual(client.answer().code, 503)
        self.network.refuses = True
        self.assertEqual(self.get(url).code, 503)
        self.assert_nothing_kept()

    def test_head_does_not_come(self) -> None:
        """An upstream that takes the connection and says nothing is waited for, but not for ever."""
        client = self.begin(self.demo(CONTENT))
        self.advance(59)
        self.assertFalse(client.over)
        self.advance(2)
        self.assertEqual(client.answer().code, 503)


class RefusedTests(FileCase):
    """Bytes that are not what the page promised (conformance test 46)."""

    def refused(self, client: Client, *words: str) -> None:
        """Nobody has the whole, nothing is kept, and the log tells."""
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well and client.answer().code == 200)
        self.assertLess(len(client.received), len(CONTENT))
        self.assert_nothing_kept()
        self.assertTrue(self.logged("error", *words), self.said)
        self.assertEqual(self.house.library.downloads, {})

    def test_wrong_bytes(self) -> None:
        """The last byte does not go out; file, expected and got are logged."""
        wrong = CONTENT[:-1] + b"!"
        url = self.demo(CONTENT)
        clients = [self.begin(url) for _ in range(3)]
        coming = self.incoming
        coming.head()
        coming.send(len(CONTENT) - 1)
        coming.say(b"!")
        coming.end()
        for client in clients:
            self.assertEqual(client.received, CONTENT[:-1])
            self.refused(client, WHEEL, SHA256, sha256(wrong).hexdigest())

    def test_a_right_one_later(self) -> None:
        """What was refused is asked for again by the next client."""
        url = self.demo(CONTENT)
        self.begin(url)
        coming = self.incoming
        coming.head()
        coming.say(bytes(len(CONTENT)))
        coming.end()
        client = self.begin(url)
        coming = self.incoming
        coming.head()
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)

    def test_too_short(self) -> None:
        """A chunked answer that ends properly and too early."""
        client = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head(chunked=True)
        coming.send(len(CONTENT) - 10)
        coming.end()
        self.refused(client, WHEEL, "300000", "299990")

    def test_too_long(self) -> None:
        """More bytes than the page said, chunked: no client gets more than it was promised."""
        client = self.begin(self.demo(CONTENT))
        coming = self.incoming
        coming.head(chunked=True)
        coming.send(len(CONTENT) - 10)
        coming.say(bytes(500))
        coming.end()
        self.refused(client, WHEEL, "expected 300000 bytes, got more")

    def test_size_of_the_page_is_wrong(self) -> None:
        """The digest is right and the size of the page is not: the head of the upstream is believed."""
        client = self.begin(self.demo(CONTENT, size=len(CONTENT) - 5))
        coming = self.incoming
        coming.head()
        coming.rest()
        self.assertEqual((client.length, client.answer().body), (len(CONTENT), CONTENT))

    def test_other_algorithms(self) -> None:
        """The strongest digest of the page decides, whichever it is."""
        for number, algorithm in enumerate(("sha512", "sha384", "sha1", "md5", "blake2b")):
            right = hashlib.new(algorithm, CONTENT, usedforsecurity=False).hexdigest()
            if algorithm == "blake2b":  # of 256 bits, as indexes give it
                right = hashlib.blake2b(CONTENT, digest_size=32).hexdigest()
            url = self.demo(CONTENT, name=f"demo-1.{number}-py3-none-any.whl", hashes={algorithm: right})
            client = self.begin(url)
            coming = self.incoming
            coming.head()
            coming.rest()
            self.assertEqual(client.answer().body, CONTENT)
            self.house.shelf.remove(url.lstrip("/"))
            self.successResultOf(self.house.memory.drop([url.lstrip("/")]))
            client = self.begin(url)
            coming = self.incoming
            coming.head()
            coming.say(bytes(len(CONTENT)))
            coming.end()
            self.refused(client, algorithm, right)

    def test_sha256_wins(self) -> None:
        """A weaker digest that fits does not help."""
        hashes = {"md5": hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(), "sha256": "0" * 64}
        client = self.begin(self.demo(CONTENT, hashes=hashes))
        coming = self.incoming
        coming.head()
        coming.rest()
        self.refused(client, "sha256", "0" * 64, SHA256)

    def test_no_digest(self) -> None:
        """Without a digest the length of the upstream's head decides; the file lies under ``+e``."""
        url = self.demo(CONTENT, hashes={})
        self.assertIn("/+e/", url)
        client = self.begin(url)
        coming = self.incoming
        coming.head()
        coming.rest()
        self.assertEqual(client.answer().body, CONTENT)
        again = self.get(url)
        self.assertEqual((again.body, again.code), (CONTENT, 200))
        self.assertEqual(self.up.incoming, [])

    def test_no_digest_and_no_length(self) -> None:
        """A connection that is just closed tells nothing: such a file is never taken for whole."""
        client = self.begin(self.demo(CONTENT, hashes={}, size=None))
        coming = self.incoming
        coming.request.setHeader("content-length", "7")
        coming.request.responseHeaders.removeHeader("content-length")
        coming.request.clientproto = b"HTTP/1.0"
        coming.head(chunked=True)
        coming.send(1000)
        coming.end()
        self.assertTrue(client.over)
        self.assertFalse(client.ended_well)
        self.assert_nothing_kept()
