"""Validators, freshness and revalidation of pages (conformance tests 23 to 34)."""

from __future__ import annotations

import gzip

import zstandard
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from pypicache.core.spec import MirrorSpec
from tests.ring_one.house import PIP, HouseCase, file_of, page_of
from tests.ring_one.reading import Raw

WHEEL = b"wheel " * 1000
DEMO = "/root/pypi/+simple/demo/"
OLD_PIP = "pip/24.0 {}"
NEW_PIP = "pip/26.2 {}"


class CachingCase(HouseCase):
    """With one project at the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0-py3-none-any.whl", WHEEL))

    def max_age(self) -> int:
        """The seconds for which a client may take the page for fresh."""
        directives = (self.page("demo").header("cache-control") or "").split(", ")
        (found,) = [directive for directive in directives if directive.startswith("max-age=")]
        self.assertNotIn("no-cache", directives)
        return int(found.removeprefix("max-age="))


class ValidatorTests(CachingCase):
    """ETag and 304."""

    def test_pip_asks_again_with_the_tag(self) -> None:
        """A page that must be revalidated has a strong tag, and one conditional GET suffices (conformance test 23)."""
        self.start(client_max_age=0)
        first = self.page("demo")
        self.assertEqual(first.header("cache-control"), "no-cache")
        again = self.page("demo", if_none_match=first.header("etag") or "", cache_control="max-age=0",
                          user_agent=OLD_PIP)  # fmt: skip
        self.assertEqual((again.code, again.body), (304, b""))
        self.assertEqual(self.up.asked("/simple/demo/"), 1)

    def test_uv_is_told_the_same_strong_tag(self) -> None:
        """uv asks in full again if a 304 has no tag, or a weak one (conformance test 24)."""
        first = self.page("demo", accept_encoding="gzip, zstd")
        tag = first.header("etag") or ""
        self.assertRegex(tag, r'^"[^"]+"$')
        again = self.page("demo", accept_encoding="gzip, zstd", if_none_match=tag)
        self.assertEqual((again.code, again.header("etag")), (304, tag))

    def test_a_new_upload_is_found(self) -> None:
        """Clients that ask for freshness find it at once, the others when the page expired (conformance test 25)."""
        tag = self.page("demo").header("etag") or ""
        two = [file_of("demo-1.0-py3-none-any.whl", WHEEL), file_of("demo-2.0-py3-none-any.whl", WHEEL + b"2")]
        self.up.pages["/simple/demo/"] = page_of("demo", *two)
        self.assertEqual(self.page("demo", if_none_match=tag).code, 304)
        fresh = self.page("demo", if_none_match=tag, cache_control="no-cache")
        self.assertEqual((fresh.code, len(fresh.json()["files"])), (200, 2))
        self.assertEqual(len(self.files("demo")), 2)
        self.up.pages["/simple/demo/"] = page_of("demo", two[1])
        self.advance(1800)
        self.assertEqual(len(self.files("demo")), 1)

    def test_a_304_has_no_content_type(self) -> None:
        """pip would copy it over that of its stored JSON (conformance test 26)."""
        for target, accept in ((DEMO, PIP), (DEMO, "*/*")):
            tag = Raw.ask(self, target, accept=accept).headers["etag"]
            raw = Raw.ask(self, target, accept=accept, if_none_match=tag)
            self.assertEqual((raw.status, raw.body), (304, b""))
            self.assertNotIn("content-type", raw.headers)
            self.assertNotIn("transfer-encoding", raw.headers)
            self.assertLessEqual({"etag", "vary", "cache-control", "date"}, set(raw.headers))

    def test_each_coding_has_its_tag(self) -> None:
        """Different tags, each of which revalidates, and one page inside (conformance test 27)."""
        decode = {
            "identity": lambda body: body,
            "gzip": gzip.decompress,
            "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
        }
        seen = {}
        for coding, decoded in decode.items():
            answer = self.page("demo", accept_encoding=coding)
            self.assertEqual(answer.header("content-encoding"), None if coding == "identity" else coding)
            seen[answer.header("etag") or ""] = decoded(answer.body)
            again = self.page("demo", accept_encoding=coding, if_none_match=answer.header("etag") or "")
            self.assertEqual((again.code, again.header("etag")), (304, answer.header("etag")))
            self.assertIsNone(again.header("content-encoding"))
        self.assertEqual(len(seen), 3)
        self.assertEqual(len(set(seen.values())), 1)

    def test_the_tag_of_another_format_is_not_ours(self) -> None:
        """A client that had HTML and now wants JSON is given it (conformance test 27)."""
        tag = self.page("demo", accept="text/html").header("etag") or ""
        self.assertEqual(self.page("demo", if_none_match=tag).code, 200)

    def test_lists_weak_tags_and_the_star(self) -> None:
        """All that RFC 9110 section 13.1.2 allows (conformance test 28)."""
        tag = self.page("demo").header("etag") or ""
        for tags in (tag, f'"x", {tag}', f'{tag},"x"', f"W/{tag}", f'W/"x" , W/{tag}', "*"):
            self.assertEqual(self.page("demo", if_none_match=tags).code, 304, tags)
        for tags in ('"x"', tag.strip('"'), '"x", W/"y"', ""):
            self.assertEqual(self.page("demo", if_none_match=tags).code, 200, tags)


class FreshnessTests(CachingCase):
    """For how long clients may keep a page, and when the upstream is asked again."""

    def test_age_is_subtracted(self) -> None:
        """Page and client together stay below ten minutes (conformance test 29)."""
        self.assertEqual(self.max_age(), 600)
        self.advance(400)
        self.assertEqual(self.max_age(), 200)
        self.advance(400)
        self.assertEqual(self.max_age(), 0)

    def test_everybody_who_wants_freshness_shares_one_question(self) -> None:
        """Concurrent refreshes are one request to the upstream (conformance test 30)."""
        self.page("demo")
        for headers in ({"cache_control": "no-cache"}, {"cache_control": "max-age=0", "user_agent": NEW_PIP}):
            before = self.up.asked("/simple/demo/")
            self.up.gate = Deferred()
            waiting = [self.begin(DEMO, accept=PIP, **headers) for _ in range(10)]
            self.assertFalse(any(one.over for one in waiting))
            self.up.gate.callback(None)
            self.settle()
            self.assertEqual({one.answer().code for one in waiting}, {200})
            self.assertEqual(self.up.asked("/simple/demo/"), before + 1)
            self.advance(1)

    def test_the_upstream_is_asked_once_per_second(self) -> None:
        """Whoever wants it fresh before that waits, and shares the next question, whether it is answered or not."""
        self.page("demo")
        fresh = {"accept": PIP, "cache_control": "no-cache"}
        for status in (200, 500, 200):
            self.up.status = status
            before = self.up.asked("/simple/demo/")
            self.assertEqual(self.get(DEMO, **fresh).code, 200)
            self.up.pages["/simple/demo/"] = page_of("demo", *[file_of(f"demo-{n}.zip", b"") for n in range(before)])
            waiting = []
            for _ in range(8):
                waiting.append(self.begin(DEMO, **fresh))
                self.assertFalse(waiting[-1].over)
                self.assertEqual(self.up.asked("/simple/demo/"), before + 1)
                self.assertEqual(self.page("demo").code, 200, "who takes what there is does not wait")
                self.advance(0.125)
            for one in waiting:
                answer = one.answer()
                self.assertEqual(answer.code, 200)
                if status == 200:
                    self.assertEqual(len(answer.json()["files"]), before)
            self.assertEqual(self.up.asked("/simple/demo/"), before + 2)
            self.advance(1000)

    def test_each_project_is_asked_for_on_its_own(self) -> None:
        """One does not wait for the other."""
        self.up.pages["/simple/other/"] = page_of("other")
        for name in ("demo", "other"):
            self.page(name)
            self.assertEqual(self.page(name, cache_control="no-cache").code, 200)
            self.assertEqual(self.up.asked(f"/simple/{name}/"), 2)

    def test_a_client_leaves_before_its_turn(self) -> None:
        """Nothing is asked for its sake."""
        self.page("demo")
        self.page("demo", cache_control="no-cache")
        self.begin(DEMO, accept=PIP, cache_control="no-cache").asked.cancel()
        self.settle()
        self.advance(5)
        self.assertEqual(self.up.asked("/simple/demo/"), 2)

    def test_refreshing_asks_the_caches_on_the_way_too(self) -> None:
        """What a client asked for is not answered by a cache between us and the upstream (conformance test 30)."""
        self.page("demo")
        self.page("demo", cache_control="no-cache")
        self.assertNotIn("cache-control", self.up.log[0].headers)
        self.assertEqual(self.up.log[1].headers["cache-control"], "no-cache")

    def test_old_pip_does_not_mean_it(self) -> None:
        """pip before 26.2 says ``max-age=0`` with every page (conformance test 30)."""
        for _ in range(3):
            self.page("demo", cache_control="max-age=0", user_agent=OLD_PIP)
        self.assertEqual(self.up.asked("/simple/demo/"), 1)

    def test_refresh_while_the_upstream_is_away(self) -> None:
        """Who wants it fresh is given what there is."""
        self.page("demo")
        self.up.status = 500
        answer = self.page("demo", cache_control="no-cache")
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 1))
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def test_a_304_renews_the_page(self) -> None:
        """The time begins anew, and clients see the same tag (conformance test 31)."""
        self.up.headers["ETag"] = '"up-1"'
        tag = self.page("demo").header("etag")
        self.advance(1801)
        again = self.page("demo")
        self.assertEqual(self.up.log[-1].headers["if-none-match"], '"up-1"')
        self.assertEqual((again.code, again.header("etag"), again.header("x-pypicache-stale")), (200, tag, None))
        self.assertEqual(self.max_age(), 600)
        self.advance(1799)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 2)

    def test_last_modified_where_there_is_no_tag(self) -> None:
        """The other validator of an upstream is used (conformance test 31)."""
        modified = "Sun, 06 Nov 1994 08:49:37 GMT"

        def dated(request: Request) -> bytes:
            request.setHeader("last-modified", modified)
            request.setHeader("content-type", self.up.content_type)
            if request.getHeader("if-modified-since") == modified:
                request.setResponseCode(304)
                return b""
            return b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": []}'

        self.up.special["/simple/demo/"] = dated
        self.page("demo")
        self.advance(1801)
        self.assertEqual(self.page("demo").code, 200)
        self.assertEqual(self.up.log[-1].headers["if-modified-since"], modified)

    def test_expiry_of_one_index(self) -> None:
        """``mirror_cache_expiry`` of the index wins over the server's."""
        options = {"mirror_url": "http://up.example/simple/", "mirror_cache_expiry": "60"}
        self.start(indexes=(MirrorSpec.from_options("root/pypi", options),), mirror_cache_expiry=5)
        self.page("demo")
        self.advance(59)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 1)
        self.advance(1)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 2)

    def test_expiry_of_the_server(self) -> None:
        """``mirror_cache_expiry`` holds for indexes that do not say."""
        self.start(mirror_cache_expiry=5)
        self.page("demo")
        self.advance(5)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 2)


class FileCachingTests(CachingCase):
    """What clients may keep for ever, and what not."""

    def test_files_never_change(self) -> None:
        """A file with a digest in its address is kept for ever (conformance test 32)."""
        self.up.files["/packages/demo-1.0-py3-none-any.whl"] = WHEEL
        answer = self.get(self.files("demo")[0]["url"])
        directives = (answer.header("cache-control") or "").split(", ")
        self.assertIn("immutable", directives)
        self.assertGreaterEqual(int(directives[0].removeprefix("max-age=")), 365 * 86400)

    def test_what_has_no_digest_may_change(self) -> None:
        """The same address may mean other bytes tomorrow (conformance test 33)."""
        self.up.files["/packages/demo-1.0.tar.gz"] = b"sdist"
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0.tar.gz", b"sdist", hashes={}, size=None))
        url = self.files("demo")[0]["url"]
        self.assertIn("/+e/", url)
        answer = self.get(url)
        self.assertEqual((answer.code, answer.body), (200, b"sdist"))
        self.assertNotIn("immutable", answer.header("cache-control") or "")

    def test_variants_may_change(self) -> None:
        """The list of a wheel's variants is no wheel (conformance test 33)."""
        name = "demo-1.0-variants.json"
        self.up.files[f"/packages/{name}"] = b"{}"
        self.up.pages["/simple/demo/"] = page_of("demo", file_of(name, b"{}"))
        answer = self.get(self.files("demo")[0]["url"])
        self.assertEqual((answer.code, answer.body), (200, b"{}"))
        self.assertNotIn("immutable", answer.header("cache-control") or "")


class SerialTests(CachingCase):
    """The upstream's serial goes forwards, or something between us and it is old."""

    def upstream(self, serial: int, version: str) -> None:
        self.up.headers["X-PyPI-Last-Serial"] = str(serial)
        self.up.pages["/simple/demo/"] = page_of("demo", file_of(f"demo-{version}.tar.gz", version.encode()))

    def version(self) -> str:
        (file,) = self.files("demo")
        return str(file["filename"]).removeprefix("demo-").removesuffix(".tar.gz")

    def test_an_older_page_is_not_taken(self) -> None:
        """What we have is newer than what came, and is kept (conformance test 34)."""
        self.upstream(10, "2")
        self.assertEqual((self.version(), self.page("demo").header("x-pypi-last-serial")), ("2", "10"))
        self.upstream(9, "1")
        self.advance(1801)
        self.assertEqual((self.version(), self.page("demo").header("x-pypi-last-serial")), ("2", "10"))

    def test_it_heals(self) -> None:
        """It is asked again, past the caches on the way, and a newer page is taken (conformance test 34)."""
        self.upstream(10, "2")
        self.version()
        self.upstream(9, "1")
        self.advance(1801)
        self.version()
        self.upstream(11, "3")
        self.advance(61)
        self.assertEqual(self.version(), "3")
        self.assertEqual(self.up.log[-1].headers["cache-control"], "no-cache")

    def test_an_upstream_that_began_anew(self) -> None:
        """A serial that stays smaller does not keep a page from being renewed for ever (conformance test 34)."""
        self.upstream(1000, "2")
        self.version()
        self.upstream(9, "3")
        for _ in range(48):
            self.advance(1799)
            self.assertEqual(self.version(), "2")
        self.advance(3 * 1800)
        self.assertEqual(self.version(), "3")

    def test_another_upstream_counts_in_its_own_way(self) -> None:
        """Serials of two upstreams say nothing about each other (conformance test 34)."""
        self.upstream(1000, "2")
        self.version()
        self.stop()
        self.up.pages["/other/demo/"] = page_of("demo", file_of("demo-3.tar.gz", b"3"))
        self.up.headers["X-PyPI-Last-Serial"] = "9"
        options = {"mirror_url": "http://up.example/other/"}
        self.start(indexes=(MirrorSpec.from_options("root/pypi", options),))
        self.assertEqual(self.version(), "3")

    def test_serials_that_mean_nothing(self) -> None:
        """``mirror_ignore_serial_header`` takes every page as it comes (conformance test 34)."""
        options = {"mirror_url": "http://up.example/simple/", "mirror_ignore_serial_header": True}
        self.start(indexes=(MirrorSpec.from_options("root/pypi", options),))
        self.upstream(10, "2")
        self.version()
        self.upstream(9, "1")
        self.advance(1801)
        self.assertEqual(self.version(), "1")
