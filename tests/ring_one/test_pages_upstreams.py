"""Upstreams of all kinds: where their files are, how they are addressed, and what they leave out."""

from __future__ import annotations

import gzip
from hashlib import md5, sha256
from typing import Any

from twisted.web.server import Request

from pypicache.core.spec import MirrorSpec
from tests.ring_one.house import HouseCase, file_of, page_of

SDIST = b"sdist " * 100
HTML = "text/html"


class UpstreamCase(HouseCase):
    """Starts the daemon in front of various upstreams."""

    def mirror(self, url: str, **options: object) -> None:
        """Start it in front of this one."""
        spec = MirrorSpec.from_options("root/pypi", {"mirror_url": url, **options})
        self.start(indexes=(spec,))

    def fetched(self, project: str = "demo") -> bytes:
        """The only file of a project, fetched through its page."""
        (file,) = self.files(project)
        answer = self.get(file["url"])
        self.assertEqual((answer.code, answer.whole), (200, True), answer.body)
        return answer.body


class AddressTests(UpstreamCase):
    """Where an upstream's files are."""

    def html(self, href: str, head: str = "", where: str = "/simple/demo/") -> None:
        """Let the upstream be one without JSON."""
        self.up.content_type = HTML
        digest = sha256(SDIST).hexdigest()
        self.up.pages[where] = f'<html><head>{head}</head><a href="{href}#sha256={digest}">demo-1.tar.gz</a></html>'

    def test_relative_to_the_page(self) -> None:
        """Without a host, with and without leading slashes and dots."""
        self.up.files["/packages/demo-1.tar.gz"] = self.up.files["/simple/demo/demo-1.tar.gz"] = SDIST
        for href in ("demo-1.tar.gz", "./demo-1.tar.gz", "../../packages/demo-1.tar.gz", "/packages/demo-1.tar.gz",
                     "//up.example/packages/demo-1.tar.gz"):  # fmt: skip
            self.advance(1801)
            self.house.shelf.remove(f"root/pypi/+f/{sha256(SDIST).hexdigest()[:3]}/"
                                    f"{sha256(SDIST).hexdigest()[3:16]}/demo-1.tar.gz")  # fmt: skip
            self.html(href)
            before = len(self.up.log)
            self.assertEqual(self.fetched(), SDIST)
            self.assertEqual(len(self.up.log), before + 2, href)

    def test_base(self) -> None:
        """``<base>`` moves where relative addresses start, itself relative to the page."""
        self.up.files["/deep/er/demo-1.tar.gz"] = SDIST
        self.html("demo-1.tar.gz", '<base href="../../deep/er/">')
        self.assertEqual(self.fetched(), SDIST)

    def test_other_hosts(self) -> None:
        """Files may be anywhere on the web."""
        self.up.files["/x/demo-1.tar.gz"] = SDIST
        self.html("https://files.example:8443/x/demo-1.tar.gz")
        self.assertEqual(self.fetched(), SDIST)
        self.assertEqual(self.up.log[-1].headers["host"], "files.example:8443")

    def test_signed_addresses(self) -> None:
        """What stands behind a question mark belongs to the upstream's address, and to nobody's file name."""
        self.up.files["/x/demo-1.tar.gz"] = SDIST
        self.html("http://files.example/x/demo-1.tar.gz?token=a%2Bb&amp;x=1")
        self.assertEqual(self.files("demo")[0]["filename"], "demo-1.tar.gz")
        self.assertEqual(self.fetched(), SDIST)

    def test_local_versions(self) -> None:
        """``%2B`` and ``+`` are one file (conformance test 47)."""
        self.up.pages["/simple/demo/"] = page_of(
            "demo", file_of("demo-1+cu121.tar.gz", SDIST, url="http://files.example/demo-1%2Bcu121.tar.gz")
        )
        self.up.files["/demo-1%2Bcu121.tar.gz"] = SDIST
        url = self.files("demo")[0]["url"]
        directory = url.rpartition("/")[0]
        for name in ("demo-1+cu121.tar.gz", "demo-1%2Bcu121.tar.gz", "demo-1%2bcu121.tar.gz"):
            self.assertEqual(self.get(f"{directory}/{name}").body, SDIST)
        self.assertEqual(len(self.up.log), 2)

    def test_addresses_that_are_none(self) -> None:
        """Files that are not on the web are not listed, the others are."""
        odd = ["ftp://up.example/a-1.zip", "file:///etc/passwd", "javascript:alert(1)", "http://[::1", "data:,a-2.zip"]
        files = [file_of(f"demo-{number}.zip", b"", url=url) for number, url in enumerate(odd)]
        self.up.pages["/simple/demo/"] = page_of("demo", *files, file_of("demo-9.zip", b""))
        self.assertEqual([file["filename"] for file in self.files("demo")], ["demo-9.zip"])


class KindTests(UpstreamCase):
    """How an upstream answers, and under which address it was given to us."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST))
        self.up.files["/packages/demo-1.tar.gz"] = SDIST

    def test_no_slash_at_the_end(self) -> None:
        """The address of the index may be given without."""
        self.mirror("http://up.example/simple")
        self.assertEqual(self.fetched(), SDIST)

    def test_the_server_instead_of_its_index(self) -> None:
        """``/simple`` is tried where it was forgotten, and from then on nothing else."""
        self.up.pages["/simple/other/"] = page_of("other")
        self.mirror("http://up.example/")
        self.assertEqual(self.fetched(), SDIST)
        self.assertEqual(self.page("other").code, 200)
        self.assertEqual([asked.path for asked in self.up.log][0:2], ["/demo/", "/simple/demo/"])
        self.assertEqual(self.up.asked("/other/"), 0)

    def test_an_index_at_the_root(self) -> None:
        """An upstream whose pages are not below ``/simple`` is not asked twice once that is known."""
        self.up.pages["/demo/"] = self.up.pages.pop("/simple/demo/")
        self.mirror("http://up.example/")
        self.assertEqual(self.fetched(), SDIST)
        self.assertEqual(self.page("other").code, 404)
        self.assertEqual(self.up.asked("/simple/other/"), 0)

    def test_redirected_pages(self) -> None:
        """Redirects are followed, also to other hosts; relative addresses start where they lead."""

        def moved(request: Request) -> bytes:
            request.setResponseCode(301)
            request.setHeader("location", "https://new.example/index/demo/")
            return b""

        self.up.special["/simple/demo/"] = moved
        self.up.pages["/index/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST, url="demo-1.tar.gz"))
        self.up.files["/index/demo/demo-1.tar.gz"] = SDIST
        self.assertEqual(self.fetched(), SDIST)
        self.assertEqual(self.up.log[-1].headers["host"], "new.example")

    def test_redirects_without_end(self) -> None:
        """They are an upstream's mistake: 503."""

        def around(request: Request) -> bytes:
            request.setResponseCode(302)
            request.setHeader("location", "/simple/demo/")
            return b""

        self.up.special["/simple/demo/"] = around
        self.assertEqual(self.page("demo").code, 503)
        self.assertLess(len(self.up.log), 20)

    def test_403_means_no(self) -> None:
        """Some upstreams say it for projects that they do not have."""
        self.up.status = 403
        self.assertEqual(self.page("other").code, 404)

    def test_gzip(self) -> None:
        """Compressed pages are asked for and read."""
        page: Any = b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": []}'

        def compressed(request: Request) -> bytes:
            request.setHeader("content-type", self.up.content_type)
            request.setHeader("content-encoding", "gzip")
            return gzip.compress(page)

        self.up.special["/simple/demo/"] = compressed
        self.assertEqual(self.files("demo"), [])
        self.assertIn("gzip", self.up.log[0].headers["accept-encoding"])

    def test_what_we_say_of_ourselves(self) -> None:
        """Who asks, and for what; nothing of the client is passed on."""
        self.page("demo", authorization="Basic Zm9vOmJhcg==", cookie="a=b", user_agent="pip/26.2", x_forwarded_for="x")
        headers = self.up.log[0].headers
        self.assertTrue(headers["user-agent"].startswith("pypicache/"))
        self.assertTrue(headers["accept"].startswith("application/vnd.pypi.simple.v1+json"))
        self.assertEqual(set(headers) & {"authorization", "cookie", "x-forwarded-for"}, set())

    def test_no_hashes(self) -> None:
        """Such files have addresses below ``+e/``."""
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST, hashes={}))
        (file,) = self.files("demo")
        self.assertEqual(file["url"], "/root/pypi/+e/http_files.example_packages/demo-1.tar.gz")
        self.assertEqual(self.fetched(), SDIST)

    def test_md5_alone(self) -> None:
        """An old digest is better than none: addressed by it, and checked against it."""
        digest = md5(SDIST, usedforsecurity=False).hexdigest()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST, hashes={"md5": digest}))
        self.assertEqual(self.files("demo")[0]["url"], f"/root/pypi/+f/{digest[:3]}/{digest[3:16]}/demo-1.tar.gz")
        self.assertEqual(self.fetched(), SDIST)

    def test_wrong_md5(self) -> None:
        """Wrong bytes are not kept."""
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST, hashes={"md5": "0" * 32}))
        url = self.files("demo")[0]["url"]
        answer = self.get(url)
        self.assertFalse(answer.code == 200 and answer.whole)
        self.assertEqual(list(self.house.shelf.walk()), [])

    def test_no_upstream_at_all(self) -> None:
        """A mirror without ``mirror_url`` has no projects."""
        self.start(indexes=(MirrorSpec.from_options("root/pypi", {}),))
        self.assertEqual(self.page("demo").code, 404)
