"""The list of all projects (conformance test 19)."""

from __future__ import annotations

import gzip
from urllib.parse import urljoin

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from pypicache.core.spec import MirrorSpec
from tests.ring_one.house import JSON, PIP, Answer, HouseCase, page_of
from tests.ring_one.reading import anchors, tags

LIST = "/root/pypi/+simple/"


class ListCase(HouseCase):
    """With three projects at the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/"] = {
            "meta": {"api-version": "1.4", "_last-serial": 9},
            "projects": [
                {"name": "Foo.Bar", "_last-serial": 3}, {"name": "demo", "_last-serial": 9}, {"name": "foo-bar"},
            ],
        }  # fmt: skip

    def listed(self, **headers: str) -> Answer:
        """The list."""
        return self.get(LIST, **{"accept": PIP, **headers})

    def names(self, **headers: str) -> list[str]:
        """The names in it, normalised."""
        answer = self.listed(**headers)
        self.assertEqual(answer.code, 200)
        return [project["name"].lower().replace(".", "-") for project in answer.json()["projects"]]


class ContentTests(ListCase):
    """What it says."""

    def test_json(self) -> None:
        """Each project once (conformance test 19)."""
        answer = self.listed()
        self.assertEqual(answer.header("content-type"), JSON)
        self.assertEqual(answer.json()["meta"]["api-version"].partition(".")[0], "1")
        self.assertEqual(sorted(self.names()), ["demo", "foo-bar"])

    def test_html(self) -> None:
        """The addresses are relative, from which poetry takes the names (conformance test 19)."""
        answer = self.listed(accept="text/html")
        self.assertEqual(sorted(link.href for link in anchors(answer.body)), ["demo/", "foo-bar/"])

    def test_without_a_slash(self) -> None:
        """Relative addresses would lead elsewhere there: a redirect that nobody keeps; JSON comes at once."""
        answer = self.get("/root/pypi/+simple", accept="text/html")
        self.assertEqual((answer.code, answer.header("cache-control")), (302, "no-store"))
        self.assertEqual(urljoin("http://cache.example/root/pypi/+simple", answer.header("location")),
                         "http://cache.example/root/pypi/+simple/")  # fmt: skip
        self.assertEqual(self.get("/root/pypi/+simple", accept=PIP).code, 200)

    def test_the_index_itself(self) -> None:
        """Installers get the list under the index's own address."""
        for path in ("/root/pypi", "/root/pypi/"):
            self.assertEqual(len(self.get(path, accept=PIP, user_agent="pip/26.2").json()["projects"]), 2)
            self.assertEqual(len(self.get(path, accept=f"{JSON}, */*;q=0.1").json()["projects"]), 2)

    def test_gzip(self) -> None:
        """Compressed for those who take it, under another tag (conformance test 27)."""
        plain = self.listed()
        packed = self.listed(accept_encoding="gzip, zstd")
        self.assertEqual((packed.header("content-encoding"), gzip.decompress(packed.body)), ("gzip", plain.body))
        self.assertNotEqual(plain.header("etag"), packed.header("etag"))
        self.assertEqual(packed.header("vary"), "Accept, Accept-Encoding")

    def test_304(self) -> None:
        """Who has it is not sent it again (conformance test 26)."""
        for headers in ({}, {"accept_encoding": "gzip"}, {"accept": "text/html"}):
            tag = self.listed(**headers).header("etag") or ""
            again = self.listed(**headers, if_none_match=tag)
            self.assertEqual((again.code, again.body, again.header("content-type")), (304, b"", None))
            self.assertEqual(again.header("etag"), tag)

    def test_html_upstream(self) -> None:
        """An upstream without JSON, whose names are hostile."""
        self.up.content_type = "text/html"
        self.up.pages["/simple/"] = (
            '<a href="/simple/demo/">demo</a><a href="x/">&lt;script&gt;</a><a href="../">..</a>'
        )
        self.assertEqual(sorted(self.names()), ["demo", "x"])
        self.assertNotIn("script", tags(self.listed(accept="text/html").body))

    def test_an_empty_index(self) -> None:
        """No projects is an answer."""
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": []}
        self.assertEqual(self.names(), [])


class FreshnessTests(ListCase):
    """When the upstream is asked."""

    def test_asked_for_once(self) -> None:
        """While it is fresh, in all its formats."""
        for accept in (PIP, "text/html"):
            self.listed(accept=accept)
        self.assertEqual(self.up.asked("/simple/"), 1)
        self.assertIn("gzip", self.up.log[0].headers["accept-encoding"])

    def test_revalidated(self) -> None:
        """When it expired; an upstream's 304 renews it."""
        self.up.headers["ETag"] = '"list-1"'
        tag = self.listed().header("etag")
        self.advance(1801)
        answer = self.listed()
        self.assertEqual((answer.header("etag"), answer.header("cache-control")), (tag, "max-age=600, public"))
        self.assertEqual(self.up.log[-1].headers["if-none-match"], '"list-1"')
        self.assertEqual(self.up.asked("/simple/"), 2)

    def test_changed(self) -> None:
        """A new project is found when the list expired."""
        tag = self.listed().header("etag") or ""
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": [{"name": "new"}]}
        self.advance(1801)
        self.assertEqual(self.listed(if_none_match=tag).code, 200)
        self.assertEqual(self.names(), ["new"])

    def test_upstream_down(self) -> None:
        """The last list is served, marked; without one it is 503 (conformance test 49)."""
        self.up.status = 500
        answer = self.listed()
        self.assertEqual((answer.code, (answer.header("retry-after") or "").isdigit()), (503, True))
        self.up.status = 200
        self.advance(31)
        self.assertEqual(len(self.names()), 2)
        self.up.status = 500
        self.advance(1801)
        answer = self.listed()
        self.assertEqual((answer.code, answer.header("cache-control")), (200, "no-cache"))
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def test_broken_list(self) -> None:
        """Half a list replaces no whole one (conformance test 49)."""
        self.listed()
        self.advance(1801)
        self.up.pages["/simple/"] = '{"meta": {"api-version": "1.0"}, "projects": [{"name": "a"},'
        self.assertEqual(sorted(self.names()), ["demo", "foo-bar"])

    def test_slow(self) -> None:
        """The last list is served when the upstream takes long, and a cold one is not waited for for ever."""
        self.up.gate = Deferred()
        waiting = self.begin(LIST, accept=PIP)
        self.advance(30)
        self.assertEqual(waiting.answer().code, 503)
        self.up.gate.callback(None)
        self.settle()
        self.assertEqual(len(self.names()), 2)
        self.assertEqual(self.up.asked("/simple/"), 1)

    def test_after_a_restart(self) -> None:
        """It is on disk."""
        self.listed()
        self.stop()
        self.start()
        self.assertEqual(len(self.names()), 2)
        self.assertEqual(self.up.asked("/simple/"), 1)

    def test_bomb(self) -> None:
        """A list that unpacks to something else than a list is none."""

        def bomb(request: Request) -> bytes:
            request.setHeader("content-type", JSON)
            request.setHeader("content-encoding", "gzip")
            return gzip.compress(bytes(2**24))

        self.up.special["/simple/"] = bomb
        self.assertEqual(self.listed().code, 503)


class WithoutTests(ListCase):
    """``mirror_no_project_list``."""

    def test_known_projects_alone(self) -> None:
        """The upstream is not asked for its list; what was asked for so far is listed."""
        options = {"mirror_url": "http://up.example/simple/", "mirror_no_project_list": True}
        self.start(indexes=(MirrorSpec.from_options("root/pypi", options),))
        self.assertEqual(self.names(), [])
        self.up.pages["/simple/demo/"] = page_of("demo")
        self.page("demo")
        self.page("nothing")
        self.assertEqual(self.names(), ["demo"])
        self.assertEqual([link.href for link in anchors(self.listed(accept="text/html").body)], ["demo/"])
        self.assertEqual(self.up.asked("/simple/"), 0)
