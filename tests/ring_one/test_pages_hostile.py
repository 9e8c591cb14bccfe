"""Upstreams that mean harm: scripts in pages, tricks with paths, bodies without end."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import Any

from twisted.web.server import Request

from tests.ring_one.house import JSON, PIP, HouseCase, file_of, page_of
from tests.ring_one.reading import anchors, tags

SCRIPT = "<script>alert('&amp;\"1\"')</script>"
DEMO = "/root/pypi/+simple/demo/"


class ScriptTests(HouseCase):
    """A page is shown to people by their browsers."""

    def html(self, **keys: object) -> bytes:
        """The HTML page of a project with one file."""
        name = str(keys.pop("filename", "demo-1.tar.gz"))
        self.up.pages["/simple/demo/"] = page_of("demo", file_of(name, b"1", **keys))
        answer = self.page("demo", accept="text/html")
        self.assertEqual(answer.code, 200)
        self.assertNotIn("script", tags(answer.body))
        self.assertNotIn(b"&amp;lt;", answer.body)
        return answer.body

    def test_in_a_reason(self) -> None:
        """Escaped exactly once, so that a browser reads what the upstream wrote."""
        self.assertEqual(anchors(self.html(yanked=SCRIPT))[0].attributes["data-yanked"], SCRIPT)

    def test_in_requires_python(self) -> None:
        """The same there."""
        body = self.html(**{"requires-python": SCRIPT})
        self.assertEqual(anchors(body)[0].attributes["data-requires-python"], SCRIPT)

    def test_in_a_file_name(self) -> None:
        """In the text and in the address, where it is quoted."""
        name = "demo-1<script>'\"&amp;.tar.gz"
        (link,) = anchors(self.html(filename=name, url="http://files.example/x"))
        self.assertEqual(link.text, name)
        self.assertTrue(link.href.partition("#")[0].endswith("/demo-1%3Cscript%3E%27%22%26amp%3B.tar.gz"), link.href)

    def test_in_other_values(self) -> None:
        """Provenance, metadata, status."""
        self.html(provenance="javascript:alert(1)", **{"core-metadata": {"sha256": SCRIPT}})
        self.assertNotIn("provenance", self.files("demo")[0])
        self.up.pages["/simple/old/"] = page_of("old", **{"project-status": {"status": SCRIPT, "reason": SCRIPT}})
        self.assertNotIn("script", tags(self.page("old", accept="text/html").body))

    def test_in_what_the_client_asked_for(self) -> None:
        """Errors are text, and say that nothing else may be guessed."""
        answer = self.get("/root/pypi/+simple/%3Cscript%3E/", accept="text/html")
        self.assertEqual((answer.code, answer.header("x-content-type-options")), (404, "nosniff"))
        self.assertTrue((answer.header("content-type") or "").startswith("text/plain"))


class PathTests(HouseCase):
    """Names and digests become paths on our disk."""

    def test_names_that_lead_elsewhere(self) -> None:
        """Such files are not listed; nothing is written outside of the shelf."""
        names = ["../evil-1.zip", "..", "a/b-1.zip", "a\\b-1.zip", ".hidden-1.zip", "evil-1.zip\0", "evil\n-1.zip",
                 "%2e%2e%2fevil-1.zip", "", "x" * 300 + "-1.zip", "evil-1.zip?x", "evil-1.zip#x"]  # fmt: skip
        files = [file_of(name, b"evil", url="http://files.example/evil") for name in names]
        self.up.pages["/simple/evil/"] = page_of("evil", *files, file_of("evil-2.zip", b"2"))
        self.assertEqual([file["filename"] for file in self.files("evil")], ["evil-2.zip"])

    def test_digests_that_lead_elsewhere(self) -> None:
        """What is no digest is none."""
        for number, digest in enumerate(("../../../../etc/passwd/0000000000", "g" * 64, "", "/" * 64, 5, None)):
            name = f"evil{number}"
            self.up.pages[f"/simple/{name}/"] = page_of(name, file_of(f"{name}-1.zip", b"", hashes={"sha256": digest}))
            (file,) = self.files(name)
            self.assertEqual((file["hashes"], file["url"].split("/")[3]), ({}, "+e"))

    def test_addresses_of_clients(self) -> None:
        """Only what is listed can be had, however it is spelled."""
        secret = self.directory / "secret"
        secret.write_text("secret")
        self.up.pages["/simple/secret/"] = page_of("secret", file_of("secret-1.zip", b"x"))
        for path in ("/root/pypi/+f/%2e%2e/%2e%2e/secret", "/root/pypi/+f/../../secret", "/root/pypi/+e/../secret",
                     "/root/pypi/+f/abc/def/..%2f..%2fsecret", "/+static/..%2f..%2fwire.py", "/+static/../wire.py",
                     "/root/pypi/+f/%00/%00/secret-1.zip", "/root/pypi/+f/aaa/bbb/secret-1.zip",
                     "/root/pypi/+simple/%ff/", "/root/pypi/+f/aaa/bbb/%ff-1.zip", "/%ff", "/%00"):  # fmt: skip
            answer = self.get(path)
            self.assertEqual(answer.code, 404, path)
            self.assertNotIn(b"secret\n", answer.body)

    def test_an_outside_url_that_is_none(self) -> None:
        """A header that anybody may send changes no page for others, and never breaks out of an attribute."""
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.zip", b""))
        for url in ('http://x/"><script>', "javascript:alert(1)", "http://", "http://x/a b", "//evil.example/x"):
            answer = self.page("demo", accept="text/html", x_outside_url=url)
            self.assertEqual((answer.code, len(anchors(answer.body))), (200, 1))
            self.assertTrue(anchors(answer.body)[0].href.startswith("/root/pypi/+f/"), url)
        self.page("demo", accept="text/html", x_outside_url="http://x.example/prefix")
        self.assertTrue(anchors(self.page("demo", accept="text/html").body)[0].href.startswith("/root/pypi/"))


class EndlessTests(HouseCase):
    """Bodies that are meant to fill our memory."""

    def answered(self, *pieces: bytes, **headers: str) -> None:
        """Let the upstream answer so."""

        def answer(request: Request) -> bytes:
            request.setHeader("content-type", JSON)
            for name, value in headers.items():
                request.setHeader(name.replace("_", "-"), value)
            return b"".join(pieces)

        self.up.special["/simple/demo/"] = answer

    def test_too_large(self) -> None:
        """A page beyond ``max_page_size`` is none: 503."""
        self.start(max_page_size=100_000)
        self.answered(b" " * 100_001, b"{}")
        answer = self.page("demo")
        self.assertEqual(answer.code, 503)
        self.assertIn(b"100000", answer.body)

    def test_large_and_known(self) -> None:
        """The remembered page is served instead."""
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.zip", b""))
        self.start(max_page_size=100_000)
        self.page("demo")
        self.answered(b" " * 200_000)
        self.advance(1801)
        answer = self.page("demo")
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 1))
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def test_as_large_as_allowed(self) -> None:
        """The limit itself is fine."""
        self.start(max_page_size=100_000)
        page = b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": []}'
        self.answered(page, b" " * (100_000 - len(page)))
        self.assertEqual(self.page("demo").code, 200)

    def test_no_end(self) -> None:
        """A page that trickles on: the client is answered in time, and some time later we hang up."""
        dripping: list[Request] = []

        def drip(request: Request) -> Any:
            dripping.append(request)
            request.setHeader("content-type", JSON)
            request.write(b"{")
            return request.notifyFinish().addErrback(lambda _: b"")

        self.up.special["/simple/demo/"] = drip
        waiting = self.begin(DEMO, accept=PIP)
        for _ in range(12):
            self.advance(15)
            if not dripping[0]._disconnected:
                dripping[0].write(b" ")
        self.assertEqual(waiting.answer().code, 503)
        self.advance(1)
        self.assertTrue(dripping[0]._disconnected)

    def test_silence(self) -> None:
        """A page that stops in its middle is given up after half a minute."""
        silent: list[Request] = []

        def stop(request: Request) -> Any:
            silent.append(request)
            request.write(b"{")
            return request.notifyFinish().addErrback(lambda _: b"")

        self.up.special["/simple/demo/"] = stop
        self.begin(DEMO, accept=PIP)
        self.advance(31)
        self.assertTrue(silent[0]._disconnected)

    def test_bombs(self) -> None:
        """A few bytes that decompress to gigabytes take little memory, however often they were compressed."""
        self.start(max_page_size=2**20)
        bomb = gzip.compress(bytes(256 * 2**20), 9)
        for body, coding in ((bomb, "gzip"), (gzip.compress(bomb, 9), "gzip, gzip")):
            self.house.upstream.breakers.clear()
            self.answered(body, content_encoding=coding)
            tracemalloc.start()
            answer = self.page("demo")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.assertEqual(answer.code, 503)
            self.assertLess(peak, 32 * 2**20, coding)

    def test_nests(self) -> None:
        """JSON that nests without end breaks nothing."""
        self.up.pages["/simple/demo/"] = '{"meta": {"api-version": "1.0"}, "name": "demo", "files": [], "x": ' + (
            "[" * 100_000 + "]" * 100_000 + "}"
        )
        self.assertIn(self.page("demo").code, {200, 503})
        self.up.pages["/simple/other/"] = page_of("other")
        self.assertEqual(self.page("other").code, 200)
