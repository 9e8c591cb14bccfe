"""Credentials in ``mirror_url``: for their origin alone, and shown to nobody."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from attrs import define, evolve, field
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from twisted.web.server import Request
from zope.interface import implementer

from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.house import HouseCase, file_of, page_of

SDIST = b"sdist " * 100
PLAIN = "s3cr3t/p@ss"
QUOTED = "s3cr3t%2Fp%40ss"
BASIC = "Basic " + b64encode(f"robot:{PLAIN}".encode()).decode()


@implementer(ILogObserver)
@define
class Watcher:
    """Remembers everything that is logged."""

    events: list[LogEvent] = field(factory=list)

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)


class SecretCase(HouseCase):
    """In front of an upstream that wants a password; everything that is logged is looked at."""

    quoted = QUOTED

    def setUp(self) -> None:
        self.watcher = Watcher()
        globalLogPublisher.addObserver(self.watcher)
        self.addCleanup(globalLogPublisher.removeObserver, self.watcher)
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of(
            "demo",
            file_of("demo-1.tar.gz", SDIST, url="http://up.example/packages/demo-1.tar.gz"),
            file_of("demo-2.tar.gz", SDIST + b"2", url="http://files.example/packages/demo-2.tar.gz"),
            file_of("demo-3.tar.gz", SDIST + b"3", url="https://up.example/packages/demo-3.tar.gz"),
            file_of("demo-4.tar.gz", SDIST + b"4", url="http://up.example:8080/packages/demo-4.tar.gz"),
        )
        for number, extra in enumerate((b"", b"2", b"3", b"4"), 1):
            self.up.files[f"/packages/demo-{number}.tar.gz"] = SDIST + extra

    def settings(self) -> Settings:
        url = f"http://robot:{self.quoted}@up.example/simple/"
        return evolve(super().settings(), indexes=(MirrorSpec.from_options("root/pypi", {"mirror_url": url}),))

    def tearDown(self) -> None:
        super().tearDown()
        for event in self.watcher.events:
            self.assert_masked(eventAsText(event) + repr(event))

    def assert_masked(self, text: str) -> None:
        """No spelling of the password in it."""
        for spelled in (PLAIN, QUOTED, BASIC.removeprefix("Basic ")):
            self.assertNotIn(spelled, text)

    def authorizations(self) -> list[tuple[str, str | None]]:
        """To whom something was sent as ``Authorization``."""
        return [(asked.headers["host"], asked.headers.get("authorization")) for asked in self.up.log]


class SendingTests(SecretCase):
    """To whom they are sent."""

    def test_to_the_origin_alone(self) -> None:
        """Scheme, host and port must be those of ``mirror_url``."""
        for file in self.files("demo"):
            self.assertEqual(self.get(file["url"]).code, 200)
        self.assertEqual(
            self.authorizations(),
            [
                ("up.example", BASIC),  # the page
                ("up.example", BASIC),
                ("files.example", None),
                ("up.example", None),  # https
                ("up.example:8080", None),
            ],
        )

    def test_not_after_a_redirect_to_another_origin(self) -> None:
        """Neither of a page nor of a file."""

        def moved(request: Request) -> bytes:
            request.setResponseCode(302)
            request.setHeader("location", "http://other.example" + request.path.decode() + "moved")
            return b""

        self.up.special["/simple/demo/"] = self.up.special["/packages/demo-1.tar.gz"] = moved
        self.up.pages["/simple/demo/moved"] = self.up.pages["/simple/demo/"]
        self.up.files["/packages/demo-1.tar.gzmoved"] = SDIST
        self.assertEqual(self.get(self.files("demo")[0]["url"]).body, SDIST)
        self.assertEqual(
            self.authorizations(),
            [("up.example", BASIC), ("other.example", None), ("up.example", BASIC), ("other.example", None)],
        )

    def test_for_the_project_list(self) -> None:
        """It is asked for with them as well."""
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": []}
        self.assertEqual(self.get("/root/pypi/+simple/").code, 200)
        self.assertEqual(self.authorizations(), [("up.example", BASIC)])


class ShowingTests(SecretCase):
    """Where they could be seen."""

    def test_answers(self) -> None:
        """The configuration and the state show stars."""
        for path in ("/root/pypi", "/root", "/", "/+status", "/root/pypi/+api", "/root/pypi/"):
            for accept in ("application/json", "text/html"):
                answer = self.get(path, accept=accept)
                self.assertEqual(answer.code, 200)
                self.assert_masked(answer.body.decode() + repr(answer.headers))
        options = self.get("/root/pypi", accept="application/json").json()["result"]
        self.assertEqual(options["mirror_url"], "http://****:****@up.example/simple/")

    def test_pages_and_files(self) -> None:
        """Nor do pages, in no format."""
        for accept in ("application/vnd.pypi.simple.v1+json", "text/html"):
            answer = self.page("demo", accept=accept)
            self.assert_masked(answer.body.decode() + repr(answer.headers))

    def test_credentials_that_an_upstream_repeats(self) -> None:
        """A page whose addresses contain them, as some upstreams write it, shows them to no client."""
        url = f"http://robot:{QUOTED}@up.example/packages/demo-1.tar.gz"
        file = file_of("demo-1.tar.gz", SDIST, url=url, provenance=f"http://robot:{QUOTED}@up.example/provenance")
        self.up.pages["/simple/demo/"] = page_of("demo", file)
        for accept in ("application/vnd.pypi.simple.v1+json", "text/html"):
            self.assert_masked(self.page("demo", accept=accept).body.decode())
        answer = self.get(self.files("demo")[0]["url"])
        self.assertEqual((answer.code, answer.body), (200, SDIST))
        self.assertEqual(self.authorizations()[-1], ("up.example", BASIC))

    def test_external_urls(self) -> None:
        """A client that is sent to the upstream is not told our password."""
        options = {"mirror_url": f"http://robot:{QUOTED}@up.example/simple/", "mirror_use_external_urls": True}
        self.start(indexes=(MirrorSpec.from_options("root/pypi", options),))
        answer = self.get(self.files("demo")[0]["url"])
        self.assertEqual((answer.code, answer.header("location")), (302, "http://up.example/packages/demo-1.tar.gz"))
        self.assertEqual(answer.header("cache-control"), "no-store")

    def test_errors(self) -> None:
        """Sentences for clients, and log lines, name the upstream without them."""

        def broken(request: Request) -> Any:
            request.setHeader("content-type", "text/html; charset=nonsense")
            return b"\xff<html>"

        self.up.special["/simple/odd/"] = broken
        self.assert_masked(self.page("odd").body.decode())
        for status in (500, 401, 403, 404, 429):
            self.up.status = status
            for path in (f"/root/pypi/+simple/p{status}/", "/root/pypi/+simple/"):
                answer = self.get(path)
                self.assertNotEqual(answer.code, 200)
                self.assert_masked(answer.body.decode() + repr(answer.headers))
        self.assert_masked(self.get("/+status").body.decode())
        self.assertTrue(any("up.example" in eventAsText(event) for event in self.watcher.events))

    def test_a_url_that_is_none(self) -> None:
        """What the operator is told about a mistake in it hides them too."""
        with self.assertRaises(Exception) as caught:
            MirrorSpec.from_options("root/pypi", {"mirror_url": f"ftp://robot:{QUOTED}@up.example/"})
        self.assert_masked(str(caught.exception))

    def test_what_is_on_disk(self) -> None:
        """Neither memory nor shelf contain them; the ledger has to, and nobody else may read it."""
        self.get(self.files("demo")[0]["url"])
        self.stop()
        for path in self.directory.rglob("*"):
            self.assert_masked(str(path))
            if path.name.startswith("ledger.sqlite"):
                self.assertEqual(path.stat().st_mode & 0o077, 0)
            elif path.is_file():
                self.assert_masked(path.read_bytes().decode("latin-1"))


class ChangingTests(SecretCase):
    """A new password."""

    def test_what_is_remembered_stays(self) -> None:
        """Page and files are those of the same upstream."""
        url = self.files("demo")[0]["url"]
        self.get(url)
        self.stop()
        asked = len(self.up.log)
        self.quoted = "new"
        self.start()
        self.assertEqual(len(self.files("demo")), 4)
        self.assertEqual(self.get(url).body, SDIST)
        self.assertEqual(len(self.up.log), asked)
        self.advance(1801)
        self.page("demo")
        self.assertEqual(self.authorizations()[-1], ("up.example", "Basic " + b64encode(b"robot:new").decode()))
