"""Core metadata beside wheels: the upstream's, or our own out of the wheel (PEP 658, PEP 714)."""

from __future__ import annotations

import io
import zipfile
from hashlib import sha256
from typing import Any

from tests.ring_one.files import WHEEL, FileCase, bytes_of

METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: other>=1\n"
SIDE = f"/packages/{WHEEL}.metadata"
HTML = "application/vnd.pypi.simple.v1+html"


def wheel_of(metadata: bytes = METADATA) -> bytes:
    """A wheel that pip would take."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("demo/__init__.py", bytes_of(50_000))
        archive.writestr("demo-1.0.dist-info/METADATA", metadata)
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return packed.getvalue()


WHOLE = wheel_of()
DIGEST = sha256(METADATA).hexdigest()


class FromUpstreamTests(FileCase):
    """The upstream offers the metadata (conformance tests 35, 37)."""

    def setUp(self) -> None:
        super().setUp()
        offered: dict[str, Any] = {"core-metadata": {"sha256": DIGEST}}
        self.url = self.demo(WHOLE, by_hand=False, **offered) + ".metadata"
        self.up.files[SIDE] = METADATA

    def test_passed_on_and_kept(self) -> None:
        """Its digest is the one of the page; it is fetched once, without the wheel."""
        for _ in range(2):
            answer = self.get(self.url, accept_encoding="identity")
            self.assertEqual((answer.code, answer.body), (200, METADATA))
            self.assertIsNone(answer.header("content-encoding"))
        self.assertEqual([asked.path for asked in self.up.log][1:], [SIDE])
        self.assertEqual(len(self.shelf()), 1)

    def test_parts_of_it(self) -> None:
        """Ranges and HEAD."""
        self.assertEqual(self.get(self.url, range="bytes=-5").body, METADATA[-5:])
        self.assertEqual(self.get(self.url, "HEAD").header("content-length"), str(len(METADATA)))

    def test_wrong_bytes(self) -> None:
        """Not served to the end, and not kept (conformance test 46)."""
        self.up.files[SIDE] = METADATA + b"Requires-Dist: evil\n"
        answer = self.begin(self.url)
        self.assertTrue(answer.over)
        self.assertFalse(answer.ended_well and answer.code == 200)
        self.assert_nothing_kept()
        self.assertTrue(self.logged("error", WHEEL + ".metadata", DIGEST))
        self.up.files[SIDE] = METADATA
        self.assertEqual(self.get(self.url).body, METADATA)

    def test_not_there(self) -> None:
        """An upstream that lists it and has none."""
        del self.up.files[SIDE]
        self.assertEqual(self.get(self.url).code, 404)

    def test_of_a_file_that_is_not_listed(self) -> None:
        """Metadata of anything else is not reachable."""
        self.assertEqual(self.get(self.url.replace(WHEEL, "demo-9-py3-none-any.whl")).code, 404)


class MadeTests(FileCase):
    """The upstream offers none (conformance test 36)."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.demo(WHOLE, by_hand=False)

    def shown(self) -> dict[str, Any]:
        """The wheel, as the page lists it now."""
        return self.files("demo")[0]

    def assert_made(self) -> None:
        """It is listed in both formats, and is byte for byte what the wheel has."""
        file = self.shown()
        self.assertEqual(file["core-metadata"], {"sha256": DIGEST})
        answer = self.get(self.url + ".metadata")
        self.assertEqual((answer.code, answer.body), (200, METADATA))

    def test_not_before_the_wheel(self) -> None:
        """What is not held is not promised, and 404."""
        self.assertNotIn("core-metadata", self.shown())
        self.assertEqual(self.get(self.url + ".metadata").code, 404)
        self.assertEqual(len(self.shelf()), 0)

    def test_made(self) -> None:
        """As soon as the wheel is held the page lists it, under another tag."""
        before = self.page("demo").header("etag")
        self.assertEqual(self.get(self.url).body, WHOLE)
        self.assert_made()
        self.assertNotEqual(self.page("demo").header("etag"), before)

    def test_all_spellings(self) -> None:
        """JSON has both keys, HTML both attributes (conformance test 16)."""
        self.get(self.url)
        file = self.shown()
        self.assertEqual(file["core-metadata"], {"sha256": DIGEST})
        self.assertEqual(file["dist-info-metadata"], {"sha256": DIGEST})
        html = self.page("demo", accept=HTML).body.decode()
        self.assertIn(f'data-core-metadata="sha256={DIGEST}"', html)
        self.assertIn(f'data-dist-info-metadata="sha256={DIGEST}"', html)

    def test_a_page_that_was_asked_again(self) -> None:
        """A new page of the upstream keeps what we made."""
        self.get(self.url)
        self.advance(1)
        self.page("demo", cache_control="no-cache")
        self.assert_made()

    def test_survives_a_restart(self) -> None:
        """The next process lists it as well, also if the database was lost."""
        self.get(self.url)
        self.stop()
        self.start()
        self.assert_made()
        self.stop()
        (self.directory / "memory.sqlite").unlink()
        self.start()
        self.house.upkeep.start()
        self.assert_made()

    def test_upstream_switched_off(self) -> None:
        """Page, wheel and metadata are still had when the upstream is gone."""
        self.get(self.url)
        self.stop()
        self.start()
        self.network.refuses = True
        self.advance(7200)
        self.assert_made()
        self.assertEqual(self.get(self.url).body, WHOLE)

    def test_upstream_and_database_gone(self) -> None:
        """All that is left are the files: they are listed, and served."""
        self.get(self.url)
        self.stop()
        for left in self.directory.glob("memory.sqlite*"):
            left.unlink()
        self.start()
        self.house.upkeep.start()
        self.network.refuses = True
        self.assert_made()
        self.assertEqual(self.shown()["url"].partition("#")[0], self.url)
        self.assertEqual(self.get(self.url).body, WHOLE)

    def test_made_again(self) -> None:
        """Lost from disk, it is taken out of the wheel once more, which is fetched for that if need be."""
        self.get(self.url)
        for path in self.shelf():
            path.unlink()
        answer = self.get(self.url + ".metadata")
        self.assertEqual((answer.code, answer.body), (200, METADATA))

    def test_a_wheel_without_metadata(self) -> None:
        """Nothing is promised, and the wheel is served as it is."""
        broken = bytes_of(5000)
        url = self.demo(broken, name="demo-3.0-py3-none-any.whl", by_hand=False)
        self.assertEqual(self.get(url).body, broken)
        file = next(file for file in self.files("demo") if file["filename"].startswith("demo-3.0"))
        self.assertNotIn("core-metadata", file)
        self.assertEqual(self.get(url + ".metadata").code, 404)

    def test_an_sdist(self) -> None:
        """Of an sdist nothing is made."""
        url = self.demo(b"sdist", name="demo-1.0.tar.gz", by_hand=False)
        self.get(url)
        self.assertEqual(self.get(url + ".metadata").code, 404)
