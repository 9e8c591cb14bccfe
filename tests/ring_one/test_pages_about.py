"""What the daemon tells of itself, and under which address it is seen."""

from __future__ import annotations

from attrs import evolve

from pypicache import __version__
from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.house import PIP, HouseCase, file_of, page_of
from tests.ring_one.reading import Raw, anchors

SDIST = b"sdist " * 100


class AboutCase(HouseCase):
    """With two indexes of one user, and one of another."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.tar.gz", SDIST))
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": [{"name": "demo"}]}
        self.up.files["/packages/demo-1.tar.gz"] = SDIST

    def settings(self) -> Settings:
        options = {"mirror_url": "http://up.example/simple/", "title": "PyPI <&>", "mirror_cache_expiry": 60}
        return evolve(
            super().settings(),
            indexes=tuple(MirrorSpec.from_options(name, options) for name in ("root/pypi", "root/more", "team/up")),
        )

    def result(self, path: str, kind: str) -> dict[str, object]:
        """The result of a JSON answer of this kind (contract devpi 1.3)."""
        answer = self.get(path, accept="application/json")
        self.assertEqual((answer.code, answer.header("content-type")), (200, "application/json"))
        self.assertEqual(set(answer.json()), {"result", "type"})
        self.assertEqual(answer.json()["type"], kind)
        result: dict[str, object] = answer.json()["result"]
        return result


class SelfTests(AboutCase):
    """JSON for programs, pages for people."""

    def test_api(self) -> None:
        """What ``devpi use`` asks first (contract devpi 4)."""
        for path in ("/+api", "/root/+api"):
            result = self.result(path, "apiconfig")
            self.assertEqual(result["login"], "http://cache.example/+login")
            self.assertEqual(result["authstatus"], ["noauth", "", []])
            self.assertNotIn("index", result)
        result = self.result("/root/pypi/+api", "apiconfig")
        self.assertEqual(result["index"], "http://cache.example/root/pypi")
        self.assertEqual(result["simpleindex"], "http://cache.example/root/pypi/+simple/")

    def test_users_and_indexes(self) -> None:
        """The tree of users, indexes and options."""
        users = self.result("/", "list:userconfig")
        self.assertEqual(set(users), {"root", "team"})
        root = self.result("/root", "userconfig")
        self.assertEqual((root["username"], set(root["indexes"])), ("root", {"pypi", "more"}))  # type: ignore[call-overload]  # a dict of JSON
        options = self.result("/root/pypi", "indexconfig")
        self.assertEqual(options["type"], "mirror")
        self.assertEqual((options["mirror_url"], options["title"]), ("http://up.example/simple/", "PyPI <&>"))
        self.assertEqual(self.result("/root/pypi/", "indexconfig"), options)

    def test_status(self) -> None:
        """State and figures, for programs and for people (contract devpi 5)."""
        self.page("demo")
        self.page("demo")
        status = self.result("/+status", "status")
        self.assertEqual((status["version"], status["role"], status["uuid"]), (__version__, "MASTER", "0" * 32))
        traffic = status["traffic"]
        assert isinstance(traffic, dict)
        self.assertEqual((traffic["page_hits"], traffic["page_misses"]), (1, 1))
        page = self.get("/+status", accept="text/html,*/*;q=0.8")
        self.assertTrue((page.header("content-type") or "").startswith("text/html"))
        self.assertIn(b"PyPI &lt;&amp;&gt;", page.body)

    def test_health(self) -> None:
        """For load balancers."""
        for path in ("/+health/live", "/+health/ready"):
            self.assertEqual(self.get(path).json(), {"status": "ok"})

    def test_home(self) -> None:
        """People are shown how to use it, and nothing that runs."""
        answer = self.get("/", accept="text/html")
        self.assertTrue((answer.header("content-type") or "").startswith("text/html"))
        self.assertIn(b"http://cache.example/root/pypi/+simple/", answer.body)
        self.assertIn(b"PyPI &lt;&amp;&gt;", answer.body)
        self.assertIn("default-src", answer.header("content-security-policy") or "")

    def test_unknown_users_and_indexes(self) -> None:
        """404, whatever is asked of them."""
        for path in ("/nobody", "/nobody/", "/nobody/pypi", "/root/nothing", "/root/nothing/+simple/", "/root/nothing/",
                     "/root/nothing/+simple/demo/", "/nobody/pypi/+api", "/root/nothing/demo",
                     "/root/nothing/+f/abc/0123456789abc/demo-1.tar.gz", "/+nothing", "/root/pypi/+no/x"):  # fmt: skip
            for accept in (PIP, "application/json", "text/html"):
                self.assertEqual(self.get(path, accept=accept).code, 404, path)
        self.assertEqual(self.up.log, [])

    def test_errors_for_the_devpi_client(self) -> None:
        """JSON with a message, for those who read it."""
        answer = self.get("/root/nothing", accept="application/json")
        self.assertEqual(answer.header("content-type"), "application/json")
        self.assertIn("root/nothing", answer.json()["message"])

    def test_headers_of_every_answer(self) -> None:
        """``X-DEVPI-*``, also of errors (contract devpi 1.2)."""
        self.up.status = 500
        seen = set()
        for path, method in (("/", "GET"), ("/+api", "GET"), ("/nobody", "GET"), ("/root/pypi/+api", "PUT"),
                             ("/%ff", "GET"), ("/root/pypi/+simple/demo/", "GET"), ("/root/pypi/+simple", "GET"),
                             ("/root/pypi/+simple/demo/refresh", "POST"), ("/+health/live", "HEAD")):  # fmt: skip
            raw = Raw.ask(self, path, method, accept="application/json" if path == "/" else "text/html")
            seen.add(raw.status)
            self.assertEqual(raw.headers["x-devpi-api-version"], "2", path)
            self.assertEqual(raw.headers["x-devpi-server-version"], __version__, path)
            self.assertEqual(raw.headers["x-devpi-uuid"], "0" * 32, path)
            self.assertTrue(raw.headers["x-devpi-serial"].isdigit(), path)
            self.assertEqual(raw.headers["x-content-type-options"], "nosniff", path)
        self.assertEqual(seen, {200, 302, 404, 405, 503})

    def test_headers_of_304(self) -> None:
        """Also there."""
        tag = self.page("demo").header("etag") or ""
        self.assertEqual(self.page("demo", if_none_match=tag).header("x-devpi-api-version"), "2")


class OutsideTests(AboutCase):
    """A front end in between."""

    def assert_seen_as(self, base: str, path: str, **headers: str) -> None:
        """Everything that contains an address has the outer one."""
        api = self.get(f"{path}/root/pypi/+api", accept="application/json", **headers).json()["result"]
        self.assertEqual(api["simpleindex"], f"{base}/root/pypi/+simple/")
        page = self.get(f"{path}/root/pypi/+simple/demo/", accept=PIP, **headers).json()
        prefix = "/" + base.split("/", 3)[3] if base.count("/") > 2 else ""
        self.assertTrue(page["files"][0]["url"].startswith(f"{prefix}/root/pypi/+f/"), page["files"][0]["url"])
        html = self.get(f"{path}/root/pypi/+simple/demo/", accept="text/html", **headers)
        self.assertTrue(anchors(html.body)[0].href.startswith(f"{prefix}/root/pypi/+f/"))
        refresh = self.get(f"{path}/root/pypi/+simple/demo/refresh", "POST", **headers)
        self.advance(1)
        self.assertEqual(refresh.header("location"), f"{prefix}/root/pypi/+simple/demo/")
        self.assertIn(f"{base}/root/pypi/".encode(), self.get(f"{path}/", accept="text/html", **headers).body)
        file = self.get(page["files"][0]["url"], **headers)
        self.assertEqual((file.code, file.body), (200, SDIST))

    def test_the_connections_own_host(self) -> None:
        """Nothing configured: what the client wrote."""
        self.assert_seen_as("http://cache.example", "")

    def test_configured(self) -> None:
        """``outside_url`` without a path."""
        self.start(outside_url="https://packages.example")
        self.assert_seen_as("https://packages.example", "")

    def test_configured_with_a_path(self) -> None:
        """Requests come with the path or without it, as the front end passes them on."""
        self.start(outside_url="https://packages.example/py/pi")
        self.assert_seen_as("https://packages.example/py/pi", "")
        self.assert_seen_as("https://packages.example/py/pi", "/py/pi")

    def test_header(self) -> None:
        """``X-outside-url`` wins over the configuration."""
        self.start(outside_url="https://packages.example/py")
        self.assert_seen_as("https://other.example/deep", "/deep", x_outside_url="https://other.example/deep/")
        self.assert_seen_as("https://other.example", "", x_outside_url="https://other.example")

    def test_each_address_has_its_page(self) -> None:
        """Two front ends with different paths get their own addresses, and tags that differ."""
        one = self.page("demo", x_outside_url="https://a.example/one")
        two = self.page("demo", x_outside_url="https://a.example/two")
        self.assertNotEqual(one.header("etag"), two.header("etag"))
        self.assertEqual(self.up.asked("/simple/demo/"), 1)

    def test_indexes_share_nothing_but_files(self) -> None:
        """Each index has its pages under its own address."""
        urls = [self.get(f"/{index}/+simple/demo/", accept=PIP).json()["files"][0]["url"]
                for index in ("root/pypi", "root/more", "team/up")]  # fmt: skip
        self.assertEqual([url.split("/+f/")[0] for url in urls], ["/root/pypi", "/root/more", "/team/up"])
        for url in urls:
            self.assertEqual(self.get(url).body, SDIST)
        self.assertEqual(self.up.asked("/packages/demo-1.tar.gz"), 1)
