"""Files that are held: ranges, conditions, names, indexes that share them, addresses elsewhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.files import AT, WHEEL, FileCase, bytes_of
from tests.ring_one.house import UP, file_of, page_of

CONTENT = bytes_of(5000)


class HeldTests(FileCase):
    """What clients may ask of a file on the shelf."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.demo(CONTENT, by_hand=False)
        self.assertEqual(self.get(self.url).body, CONTENT)

    def tearDown(self) -> None:
        self.assertEqual(self.up.asked(AT), 1)
        super().tearDown()

    def test_head(self) -> None:
        """HEAD says the true length, and leaves the connection usable (conformance test 38)."""
        answer = self.get(self.url, "HEAD")
        self.assertEqual((answer.code, answer.body, answer.whole), (200, b"", True))
        self.assertEqual(answer.header("content-length"), "5000")
        self.assertEqual(answer.header("accept-ranges"), "bytes")

    def test_range(self) -> None:
        """A span in the middle (conformance test 39)."""
        answer = self.get(self.url, range="bytes=100-199")
        self.assertEqual((answer.code, answer.body), (206, CONTENT[100:200]))
        self.assertEqual(answer.header("content-range"), "bytes 100-199/5000")

    def test_tail(self) -> None:
        """The end, also if more is asked for than there is (conformance test 40)."""
        answer = self.get(self.url, range="bytes=-10")
        self.assertEqual((answer.code, answer.body), (206, CONTENT[-10:]))
        answer = self.get(self.url, range="bytes=-10000")
        self.assertEqual((answer.code, answer.body), (206, CONTENT))
        self.assertEqual(answer.header("content-range"), "bytes 0-4999/5000")

    def test_outside(self) -> None:
        """416 with the size (conformance test 41)."""
        answer = self.get(self.url, range="bytes=5000-")
        self.assertEqual((answer.code, answer.header("content-range")), (416, "bytes */5000"))

    def test_if_range(self) -> None:
        """The same tag or date: 206; another or a weak one: all of it (conformance test 42)."""
        head = self.get(self.url, "HEAD")
        etag, modified = head.header("etag") or "", head.header("last-modified") or ""
        for condition, code in ((etag, 206), (modified, 206), ('"other"', 200), ("W/" + etag, 200)):
            answer = self.get(self.url, range="bytes=0-9", if_range=condition)
            self.assertEqual((answer.code, answer.body), (code, CONTENT[:10] if code == 206 else CONTENT))

    def test_not_modified(self) -> None:
        """304 for the tag and for the date."""
        head = self.get(self.url, "HEAD")
        for method in ("GET", "HEAD"):
            answer = self.get(self.url, method, if_none_match=head.header("etag") or "")
            self.assertEqual((answer.code, answer.body), (304, b""))
            self.assertEqual(answer.header("etag"), head.header("etag"))
            answer = self.get(self.url, method, if_modified_since=head.header("last-modified") or "")
            self.assertEqual(answer.code, 304)

    def test_for_ever(self) -> None:
        """Clients may keep it for ever, and it is not said to be encoded (conformance tests 32, 37)."""
        answer = self.get(self.url, accept_encoding="gzip, identity")
        self.assertIn("immutable", answer.header("cache-control") or "")
        self.assertIsNone(answer.header("content-encoding"))
        self.assertEqual(answer.header("content-type"), "application/octet-stream")

    def test_another_digest(self) -> None:
        """The right name under another digest is no file."""
        digest = self.url.split("/")[4:6]
        wrong = self.url.replace("/".join(digest), f"{digest[0]}/{'0' * 13}")
        self.assertEqual(self.get(wrong).code, 404)

    def test_headers_are_the_same_before_and_after(self) -> None:
        """A client cannot see from the head whether a file was held."""
        url = self.demo(CONTENT + b"x", name="demo-2.0-py3-none-any.whl", by_hand=False)
        seen = []
        for _ in range(2):
            answer = self.get(url)
            seen.append({name: answer.header(name) for name in ("etag", "last-modified", "cache-control")})
        self.assertEqual(seen[0], seen[1])


class NamesTests(FileCase):
    """Names that have to be quoted."""

    def test_local_version(self) -> None:
        """A plus sign may be quoted or not (conformance test 47)."""
        url = self.demo(CONTENT, name="demo-1.0+local.1-py3-none-any.whl", by_hand=False)
        self.up.files["/packages/demo-1.0+local.1-py3-none-any.whl"] = CONTENT
        for form in (url.replace("%2B", "+"), url.replace("+local", "%2Blocal").replace("+f", "%2Bf"), url):
            self.assertEqual(self.get(form).body, CONTENT, form)
        self.assertEqual(len(self.shelf()), 1)


class TwoIndexesTests(FileCase):
    """The same bytes in two indexes."""

    def settings(self) -> Settings:
        return Settings(
            state=self.directory,
            indexes=(
                MirrorSpec.from_options("root/pypi", {"mirror_url": UP}),
                MirrorSpec.from_options("team/other", {"mirror_url": "http://other.example/other/"}),
            ),
        )

    def other(self, content: bytes = CONTENT) -> str:
        """List the same file at the other index too; its URL there."""
        listed = file_of(WHEEL, content, url=f"http://other.example/elsewhere/{WHEEL}")
        self.up.pages["/other/demo/"] = page_of("demo", listed)
        answer = self.get("/team/other/+simple/demo/", accept="application/vnd.pypi.simple.v1+json")
        url: str = answer.json()["files"][0]["url"]
        return url

    def test_one_hard_link(self) -> None:
        """The second index fetches nothing: its file is a second name of the first."""
        first = self.demo(CONTENT, by_hand=False)
        second = self.other()
        self.get(first)
        asked = len(self.up.log)
        answer = self.get(second)
        self.assertEqual((answer.code, answer.body), (200, CONTENT))
        self.assertEqual(len(self.up.log), asked)
        self.assertEqual([path.stat().st_nlink for path in self.shelf()], [2, 2])
        self.assertEqual(self.house.evictor.size, len(CONTENT))

    def test_a_range_of_it(self) -> None:
        """Also if only a part is asked for."""
        self.get(self.demo(CONTENT, by_hand=False))
        answer = self.get(self.other(), range="bytes=-5")
        self.assertEqual((answer.code, answer.body), (206, CONTENT[-5:]))
        self.assertEqual(len(self.shelf()), 2)


class ElsewhereTests(FileCase):
    """``mirror_use_external_urls``: clients fetch from the upstream themselves what is not held."""

    def settings(self) -> Settings:
        url = "http://reader:secret@up.example/simple/"
        options = {"mirror_url": url, "mirror_use_external_urls": True}
        return Settings(state=self.directory, indexes=(MirrorSpec.from_options("root/pypi", options),))

    def test_elsewhere(self) -> None:
        """302 without credentials for what is not held, 200 for what is."""
        url = self.demo(CONTENT, url=f"../../files/{WHEEL}")
        answer = self.get(url)
        self.assertEqual((answer.code, answer.header("location")), (302, f"http://up.example/files/{WHEEL}"))
        self.assertNotIn("secret", repr(answer.headers))
        self.assertEqual(self.up.incoming, [])
        place = self.house.shelf.path(url.lstrip("/"))
        place.parent.mkdir(parents=True)
        place.write_bytes(CONTENT)
        answer = self.get(url)
        self.assertEqual((answer.code, answer.body), (200, CONTENT))


class _Raw(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.reason = reason


class OldClientTests(FileCase):
    """HTTP/1.0, as some proxies still speak it."""

    def raw(self, path: str) -> _Raw:
        """Ask without a library."""
        client = _Raw()
        self.agent.connect(client)
        client.transport.write(f"GET {path} HTTP/1.0\r\nHost: cache.example\r\n\r\n".encode())  # type: ignore[union-attr]
        self.settle()
        return client

    def test_whole(self) -> None:
        """The end of the connection is the end of the file."""
        client = self.raw(self.demo(CONTENT, size=None))
        coming = self.incoming
        coming.head(chunked=True)
        coming.rest()
        self.settle()
        self.assertTrue(client.data.endswith(CONTENT))
        self.assertEqual(client.reason.type.__name__, "ConnectionDone")

    def test_cut_off(self) -> None:
        """Where the end of the connection is the end of the file, a break is a reset (conformance test 45)."""
        client = self.raw(self.demo(CONTENT, size=None))
        coming = self.incoming
        coming.head(chunked=True)
        coming.say(bytes(len(CONTENT)))
        coming.end()
        self.settle()
        self.assertIsNotNone(client.reason)
        self.assertEqual(client.reason.type.__name__, "ConnectionLost")
