"""Redirects, in memory: which are followed, where to, and what is not taken along."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pypicache.upstream.agents import DISCARDED, RedirectRefused, UpstreamAgent

SECRET = "s3cret"  # noqa: S105  # a password that must not show up anywhere
ENDLESS = -1  # size of a body that never ends


@define
class Answer:
    status: int = 200
    location: bytes | None = None
    size: int = 0  # bytes of the body


class Web(Resource):
    """Every origin there is, as a table of URLs; what it has no entry for, it answers with 200."""

    isLeaf = True  # IResource's name
    given_up: Deferred[None]  # fails when the client of an endless body hangs up

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__()
        self.answers = answers
        self.seen: list[tuple[str, str, Headers]] = []  # method, URL, headers

    def render(self, request: Request) -> bytes | int:
        url = request.uri.decode()
        if url.startswith("/"):
            scheme = "https" if request.isSecure() else "http"
            url = f"{scheme}://{request.getHeader('host')}{url}"
        self.seen.append((request.method.decode(), url, request.requestHeaders.copy()))
        answer = self.answers.get(url, Answer())
        request.setResponseCode(answer.status)
        if answer.location is not None:
            request.responseHeaders.setRawHeaders(b"Location", [answer.location])
        if answer.size == ENDLESS:
            self.given_up = request.notifyFinish()
            request.write(b"x" * (DISCARDED + 1))
            return NOT_DONE_YET
        return b"x" * answer.size

    def urls(self) -> list[str]:
        return [url for _, url, _ in self.seen]

    def header(self, name: str) -> list[str | None]:
        return [headers.getRawHeaders(name, [""])[0] or None for _, _, headers in self.seen]


class RedirectTests(SynchronousTestCase):
    """Redirects of GET and HEAD are followed; what is meant for one origin stays there."""

    def ask(
        self, answers: Mapping[str, Answer], url: str, method: str = "GET", host: str | None = None
    ) -> IResponse | BaseException:
        """Ask with some headers; the response, or the exception."""
        self.web = Web(answers)
        wire = RequestTraversalAgent(self.web)
        agent = UpstreamAgent(wire, HTTPConnectionPool(Clock()))
        headers = Headers(
            {
                "Authorization": ["Basic eA=="],
                "Cookie": ["a=b"],
                "Accept": ["text/html"],
                "If-None-Match": ['"1"'],
            }
        )
        if host is not None:
            headers.setRawHeaders("Host", [host])
        seen: list[IResponse | Failure] = []
        agent.request(method.encode(), url.encode(), headers).addBoth(seen.append)
        for _ in range(40):
            wire.flush()
        (got,) = seen
        if isinstance(got, Failure):
            assert got.value is not None
            return got.value
        return got

    def final(self, answers: Mapping[str, Answer], url: str, method: str = "GET") -> str:
        """The URL that gave the answer, which is what relative links on the page start from."""
        response = self.ask(answers, url, method)
        assert not isinstance(response, BaseException), response
        final: bytes = response.request.absoluteURI
        return final.decode()

    def test_relative_locations(self) -> None:
        for location, expected in {
            b"foo/": "http://up.example/simple/foo/",
            b"/other/foo": "http://up.example/other/foo",
            b"?page=2": "http://up.example/simple/Foo?page=2",
            b"//up.example/x": "http://up.example/x",
            b"http://up.example:80/y#top": "http://up.example:80/y",
            b" foo bar\xc3\xa4 ": "http://up.example/simple/foo%20bar%C3%A4",
        }.items():
            assert (
                self.final({"http://up.example/simple/Foo": Answer(301, location)}, "http://up.example/simple/Foo")
                == expected
            )
            assert self.web.header("authorization") == ["Basic eA=="] * 2

    def test_method_is_kept(self) -> None:
        for status in (301, 302, 303, 307, 308):
            for method in ("GET", "HEAD"):
                self.final({"http://up.example/a": Answer(status, b"/b")}, "http://up.example/a", method)
                assert [seen[0] for seen in self.web.seen] == [method] * 2

    def test_another_origin_gets_no_credentials(self) -> None:
        for target in (
            "http://files.example/b",
            "https://up.example/b",
            "http://up.example:8080/b",
            "//files.example/b",
        ):
            self.ask({"http://up.example/a": Answer(302, target.encode())}, "http://up.example/a")
            assert self.web.header("authorization") == ["Basic eA==", None]
            assert self.web.header("cookie") == ["a=b", None]
            assert self.web.header("accept") == ["text/html"] * 2
            assert self.web.header("if-none-match") == ['"1"'] * 2
            assert self.web.header("host")[1] == target.split("/")[2]

    def test_another_origin_is_called_by_its_own_name(self) -> None:
        web = {
            "http://alias.example/a": Answer(302, b"/b"),
            "http://alias.example/b": Answer(302, b"http://files.example/c"),
        }
        self.ask(web, "http://up.example/a", host="alias.example")
        assert self.web.header("host") == ["alias.example", "alias.example", "files.example"]

    def test_credentials_do_not_come_back(self) -> None:
        """A detour over a stranger must not be a way to have our credentials sent to a URL of his choice."""
        web = {
            "http://up.example/a": Answer(302, b"http://files.example/b"),
            "http://files.example/b": Answer(302, b"http://up.example/c"),
        }
        assert self.final(web, "http://up.example/a") == "http://up.example/c"
        assert self.web.header("authorization") == ["Basic eA==", None, None]

    def test_credentials_in_a_location_are_dropped(self) -> None:
        web = {"http://up.example/a": Answer(302, b"http://me:s3cret@files.example:81/b")}
        assert self.final(web, "http://up.example/a") == "http://files.example:81/b"

    def test_ten_are_followed(self) -> None:
        web = {f"http://up.example/{n}": Answer(302, f"/{n + 1}".encode(), size=9) for n in range(11)}
        assert self.final(web, "http://up.example/1") == "http://up.example/11"
        refused = self.ask(web, "http://up.example/0?token=s3cret")
        assert not isinstance(refused, BaseException)
        refused = self.ask(web, "http://up.example/0")
        assert isinstance(refused, RedirectRefused)
        assert str(refused) == "http://up.example:80: more than 10 redirects"
        assert len(self.web.seen) == 11

    def test_the_way_is_remembered(self) -> None:
        response = self.ask({"http://up.example/a": Answer(302, b"/b", size=9)}, "http://up.example/a")
        assert not isinstance(response, BaseException)
        assert response.previousResponse.code == 302

    def test_not_a_web_page(self) -> None:
        for location in (
            b"file:///etc/passwd",
            b"ftp://up.example/",
            b"https://",
            b"http://up.example:99999/",
            b"http://[/",
        ):
            refused = self.ask({"http://up.example/a": Answer(302, location)}, "http://up.example/a")
            assert isinstance(refused, RedirectRefused), location
            assert len(self.web.seen) == 1

    def test_other_answers_are_handed_over(self) -> None:
        for method, answer in [
            ("POST", Answer(302, b"/b")),
            ("POST", Answer(307, b"/b")),
            ("DELETE", Answer(303, b"/b")),
            ("GET", Answer(302)),
            ("GET", Answer(304, b"/b")),
            ("GET", Answer(201, b"/b")),
        ]:
            response = self.ask({"http://up.example/a": answer}, "http://up.example/a", method)
            assert not isinstance(response, BaseException)
            assert (response.code, len(self.web.seen)) == (answer.status, 1)

    def test_credentials_in_the_url(self) -> None:
        """They would show in every sentence about the host that could not be found."""
        refused = self.ask({}, f"http://me:{SECRET}@up.example/")
        assert isinstance(refused, ValueError)
        assert SECRET not in str(refused)
