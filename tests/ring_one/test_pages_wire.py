"""Answers as they stand on the wire: reference headers, and the traps of the platform (contract clients 8)."""

from __future__ import annotations

from tests.ring_one.house import PIP, UV, HouseCase, file_of, page_of
from tests.ring_one.reading import Raw

WHEEL = b"wheel " * 1000
SDIST = b"\x1f\x8b sdist " * 1000
DEMO = "/root/pypi/+simple/demo/"
PLACES = (
    "/", "/+status", "/+api", "/root/+api", "/root/pypi/+api", "/+health/live", "/+health/ready", "/+static/style.css",
    "/root", "/root/", "/root/pypi", "/root/pypi/", "/root/pypi/+simple", "/root/pypi/+simple/",
    "/root/pypi/+simple/demo", "/root/pypi/+simple/demo/", "/root/pypi/demo", "/root/pypi/demo/",
)  # fmt: skip


class WireCase(HouseCase):
    """With a wheel, an sdist and a project list at the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.up.headers["X-PyPI-Last-Serial"] = "7"
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.4"}, "projects": [{"name": "demo"}]}
        self.up.pages["/simple/demo/"] = page_of(
            "demo", file_of("demo-1.0-py3-none-any.whl", WHEEL), file_of("demo-1.0.tar.gz", SDIST)
        )
        self.up.files["/packages/demo-1.0-py3-none-any.whl"] = WHEEL
        self.up.files["/packages/demo-1.0.tar.gz"] = SDIST
        self.wheel, self.sdist = (file["url"] for file in self.files("demo"))

    def ask(self, target: str, method: str = "GET", **headers: str) -> Raw:
        """Ask over a connection of its own."""
        return Raw.ask(self, target, method, **headers)


class ReferenceTests(WireCase):
    """The table of contract clients 8, row by row."""

    def test_mirrored_page(self) -> None:
        """All that a cache needs to know."""
        raw = self.ask(DEMO, accept=PIP)
        self.assertEqual(raw.headers["cache-control"], "max-age=600, public")
        self.assertRegex(raw.headers["etag"], r'^"[0-9a-f]{32}-j"$')
        self.assertEqual(raw.headers["vary"], "Accept, Accept-Encoding")
        self.assertEqual(raw.headers["content-length"], str(len(raw.body)))
        self.assertEqual(raw.headers["x-pypi-last-serial"], "7")
        self.assertIn("date", raw.headers)

    def test_page_that_clients_always_revalidate(self) -> None:
        """What an operator can choose: ``no-cache`` alone."""
        self.start(client_max_age=0)
        self.assertEqual(self.ask(DEMO, accept=PIP).headers["cache-control"], "no-cache")

    def test_project_list(self) -> None:
        """As a project page."""
        raw = self.ask("/root/pypi/+simple/", accept=PIP, accept_encoding="gzip")
        self.assertEqual(raw.status, 200)
        self.assertEqual(raw.headers["cache-control"], "max-age=600, public")
        self.assertRegex(raw.headers["etag"], r'^"[^"]+"$')
        self.assertEqual(raw.headers["content-encoding"], "gzip")
        self.assertEqual(raw.headers["content-length"], str(len(raw.body)))

    def test_file(self) -> None:
        """Kept for ever, strong tag, ranges, no coding and no other name; a fetched and a kept file alike."""
        for _ in range(2):
            raw = self.ask(self.wheel)
            self.assertEqual((raw.status, raw.body), (200, WHEEL))
            self.assertEqual(raw.headers["cache-control"], "max-age=365000000, immutable, public")
            self.assertRegex(raw.headers["etag"], r'^"[^"]+"$')
            self.assertEqual(raw.headers["accept-ranges"], "bytes")
            self.assertEqual(raw.headers["content-length"], str(len(WHEEL)))
            self.assertEqual(raw.headers["content-type"], "application/octet-stream")
            self.assertEqual(raw.headers["last-modified"], "Tue, 02 Jan 2024 03:04:05 GMT")
            self.assertEqual(set(raw.headers) & {"content-encoding", "content-disposition", "transfer-encoding"}, set())

    def test_part_of_a_file(self) -> None:
        """Its span and its own length, under the tag of the whole."""
        whole = self.ask(self.wheel)
        raw = self.ask(self.wheel, range="bytes=100-199")
        self.assertEqual((raw.status, raw.body), (206, WHEEL[100:200]))
        self.assertEqual(raw.headers["content-range"], f"bytes 100-199/{len(WHEEL)}")
        self.assertEqual((raw.headers["content-length"], raw.headers["etag"]), ("100", whole.headers["etag"]))

    def test_part_that_is_not_there(self) -> None:
        """416 tells the real length."""
        raw = self.ask(self.wheel, range=f"bytes={len(WHEEL)}-")
        self.assertEqual((raw.status, raw.headers["content-range"]), (416, f"bytes */{len(WHEEL)}"))

    def test_unknown_project(self) -> None:
        """Text that nobody keeps, over a connection that stays."""
        raw = self.ask("/root/pypi/+simple/nothing/", accept=PIP)
        self.assertEqual((raw.status, raw.headers["cache-control"]), (404, "no-store"))
        self.assertTrue(raw.headers["content-type"].startswith("text/plain"))
        self.assertEqual(raw.headers["content-length"], str(len(raw.body)))
        self.assertFalse(raw.hung_up)


def verbs(target: str) -> set[str]:
    """What can be done at an address, besides reading."""
    parts = target.strip("/").split("/")
    if any(part.startswith("+") for part in parts[:2]) or parts[2:3] == ["+simple"]:
        return set()
    user, index, inside = {"PUT", "PATCH", "DELETE"}, {"PUT", "PATCH", "DELETE", "POST", "PUSH"}, {"DELETE", "POST"}
    return (set(), user, index)[len([part for part in parts if part])] if len(parts) < 3 else inside


class TrapTests(WireCase):
    """What the platform does if nobody takes care."""

    def test_lists_of_tags_for_files(self) -> None:
        """``If-None-Match`` is a list with weak members, also for files."""
        tag = self.ask(self.wheel).headers["etag"]
        for tags in (f'"x", {tag}', f"W/{tag}", "*"):
            raw = self.ask(self.wheel, if_none_match=tags)
            self.assertEqual((raw.status, raw.body), (304, b""), tags)
            self.assertNotIn("content-type", raw.headers)
            self.assertEqual(raw.headers["etag"], tag)
        self.assertEqual(self.ask(self.wheel, if_none_match='"x"').status, 200)

    def test_head(self) -> None:
        """Exactly GET's headers, with the true length, and no body."""
        for target in (DEMO, "/root/pypi/+simple/", self.wheel, self.sdist, "/root/pypi/+simple/nothing/", *PLACES):
            for accept in (PIP, "text/html", "application/json"):
                get = self.ask(target, accept=accept)
                head = self.ask(target, "HEAD", accept=accept)
                self.assertEqual((head.status, head.body), (get.status, b""), target)
                self.assertEqual(set(head.headers), set(get.headers), target)
                if "status" not in target and target != "/":  # whose figures change by being asked for
                    self.assertEqual(head.headers["content-length"], str(len(get.body)), target)

    def test_head_of_a_file_that_is_not_held(self) -> None:
        """The length is known from the page (conformance test 38)."""
        head = self.ask(self.sdist, "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(SDIST)))

    def test_nothing_is_chunked(self) -> None:
        """pip resumes nothing and keeps nothing whose length was not announced."""
        for target in (DEMO, "/root/pypi/+simple/", self.wheel, self.sdist, "/nothing/at/all/x", *PLACES):
            for headers in (
                {"accept": PIP},
                {"accept": "*/*", "accept_encoding": "gzip, zstd"},
                {"accept": "image/png"},
            ):
                raw = self.ask(target, **headers)
                self.assertNotIn("transfer-encoding", raw.headers, target)
                self.assertEqual(raw.headers["content-length"], str(len(raw.body)), target)

    def test_an_archive_is_not_decoded(self) -> None:
        """``.tar.gz`` is a file, not a coding."""
        for _ in range(2):
            raw = self.ask(self.sdist, accept_encoding="gzip, deflate, zstd")
            self.assertEqual((raw.body, raw.headers["content-type"]), (SDIST, "application/octet-stream"))
            self.assertNotIn("content-encoding", raw.headers)

    def test_wrong_method(self) -> None:
        """405 says which methods there are, and no handler runs by accident."""
        asked = len(self.up.log)
        for target in (*PLACES, self.wheel, "/root/pypi/+simple/other/"):
            for method in ("POST", "PUT", "DELETE", "PATCH", "PUSH", "OPTIONS"):
                if method in verbs(target):
                    continue
                raw = self.ask(target, method)
                self.assertEqual(raw.status, 405, f"{method} {target}")
                allowed = set(raw.headers["allow"].split(", "))
                self.assertLessEqual({"GET", "HEAD"}, allowed)
                self.assertNotIn(method, allowed, target)
        raw = self.ask("/root/pypi/+simple/demo/refresh")
        self.assertEqual((raw.status, raw.headers.get("allow")), (405, "POST"))
        self.assertEqual(len(self.up.log), asked)

    def test_nothing_is_redirected_for_ever(self) -> None:
        """301 and 308 stay in pip's cache; no odd spelling of an address leads to one (conformance test 20)."""
        odd = ["//", "//root/pypi/+simple/demo/", "/root//pypi/+simple/demo/", "/root/pypi/+simple//demo/", "/./root/",
               "/root/pypi/+simple/demo//", "/root/pypi/+simple/../+simple/demo/", "/root/pypi//", "/ROOT/PYPI/",
               "/root/pypi/+simple/Demo", "/+status/", "/+api/", "/root/pypi/+api/", self.wheel + "/",
               self.wheel.replace("/+f/", "//+f/")]  # fmt: skip
        for target in [*odd, *PLACES]:
            for headers in ({"accept": PIP, "user_agent": "pip/26.2"}, {"accept": "text/html"}, {"accept": UV}, {}):
                raw = self.ask(target, **headers)
                self.assertIn(raw.status, {200, 302, 307, 404}, target)
                if raw.status in {302, 307}:
                    self.assertEqual(raw.headers["cache-control"], "no-store", target)
                    self.assertTrue(raw.headers["location"].startswith("/root/pypi/"), target)

    def test_trouble_after_the_first_byte(self) -> None:
        """The connection is cut; no error page is written behind half a wheel (conformance test 45)."""
        content = b"wheel " * 200_000
        self.up.pages["/simple/big/"] = page_of("big", file_of("big-1.0-py3-none-any.whl", content))
        sent = self.up.files["/packages/big-1.0-py3-none-any.whl"] = content[:-6] + b"WRONG!"
        raw = self.ask(self.files("big")[0]["url"])
        self.assertEqual((raw.status, raw.headers["content-length"]), (200, str(len(content))))
        self.assertTrue(raw.hung_up)
        self.assertLess(len(raw.body), len(content))
        self.assertEqual(raw.body, sent[: len(raw.body)])

    def test_an_unexpected_failure(self) -> None:
        """500 as text that tells nothing of the inside; the log has it."""
        self.house.state.specs["root/pypi"] = object()  # type: ignore[assignment]  # something that cannot happen
        raw = self.ask("/root/pypi", accept="application/json")
        self.assertEqual(raw.status, 500)
        self.assertNotIn(b"NoneType", raw.body)
        self.assertNotIn(b"Traceback", raw.body)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class ConventionalTests(WireCase):
    """Addresses that distributions' packagers make up (conformance test 77)."""

    def test_redirects_to_the_file(self) -> None:
        """302 that nobody keeps, with and without the index."""
        for place in ("/packages/source/d/demo/demo-1.0.tar.gz", "/root/pypi/packages/source/d/demo/demo-1.0.tar.gz"):
            raw = self.ask(place)
            self.assertEqual((raw.status, raw.headers["location"]), (302, self.sdist))
            self.assertEqual(raw.headers["cache-control"], "no-store")
        self.assertEqual(self.ask("/packages/py3/d/demo/demo-1.0-py3-none-any.whl").headers["location"], self.wheel)

    def test_what_is_not_there(self) -> None:
        """404 for a file or project that is not listed."""
        for place in ("/packages/source/d/demo/demo-9.tar.gz", "/packages/source/n/nothing/nothing-1.tar.gz"):
            self.assertEqual(self.ask(place).status, 404)
