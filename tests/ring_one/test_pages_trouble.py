"""Upstreams that are slow, wrong or gone (conformance tests 48 to 50 and 55)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.ring_one.house import PIP, Answer, HouseCase, file_of, page_of

WHEEL = b"wheel " * 1000
DEMO = "/root/pypi/+simple/demo/"


class TroubleCase(HouseCase):
    """With one project at the upstream."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.0-py3-none-any.whl", WHEEL))

    def assert_stale(self, answer: Answer) -> None:
        """The remembered page, marked, and not prolonged in clients' caches."""
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 1))
        self.assertEqual(answer.header("cache-control"), "no-cache")
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def assert_down(self, answer: Answer) -> int:
        """503 as text, with a whole number of seconds, which is returned."""
        self.assertEqual(answer.code, 503)
        self.assertEqual((answer.header("content-type") or "").partition(";")[0], "text/plain")
        self.assertEqual(answer.header("cache-control"), "no-store")
        wait = answer.header("retry-after") or ""
        self.assertRegex(wait, r"^[1-9][0-9]*$")
        return int(wait)

    def breaker(self) -> dict[str, Any]:
        """The state of the upstream's circuit as ``+status`` tells it."""
        (found,) = self.get("/+status", accept="application/json").json()["result"]["upstreams"]
        return dict(found)


class UnknownTests(TroubleCase):
    """Of which nothing is remembered."""

    def test_there_is_no_such_project(self) -> None:
        """404 as text, and nobody keeps it (conformance test 48)."""
        for status in (404, 410):
            self.up.status = status
            answer = self.page(f"nothing-{status}")
            self.assertEqual((answer.code, answer.header("cache-control")), (404, "no-store"))
            self.assertEqual((answer.header("content-type") or "").partition(";")[0], "text/plain")

    def test_a_project_can_appear(self) -> None:
        """ "No such project" is believed for a minute, and by nobody who wants it fresh (conformance test 48)."""
        self.assertEqual(self.page("new").code, 404)
        self.up.pages["/simple/new/"] = page_of("new")
        self.assertEqual(self.page("new").code, 404)
        self.assertEqual(self.page("new", cache_control="no-cache").code, 200)
        self.assertEqual(self.page("other").code, 404)
        self.up.pages["/simple/other/"] = page_of("other")
        self.advance(60)
        self.assertEqual(self.page("other").code, 200)

    def test_names_that_cannot_be(self) -> None:
        """They do not exist, and no upstream is asked (conformance test 48)."""
        for name in ("-demo", "demo-", "d%C3%A9mo", "a%20b", "%2e%2e", "a%2Fb"):
            self.assertEqual(self.page(name).code, 404, name)
        self.assertEqual(self.up.log, [])

    def test_the_upstream_is_down(self) -> None:
        """503, never 404, whatever the upstream says instead of a page (conformance test 49)."""
        for status in (500, 502, 504, 401, 418):
            self.up.status = status
            self.assert_down(self.page(f"demo-{status}"))

    def test_the_sentence_names_the_upstream(self) -> None:
        """Whoever reads it knows whom to ask (conformance test 49)."""
        self.up.status = 500
        self.assertIn(b"up.example", self.page("demo").body)

    def test_what_is_no_page(self) -> None:
        """A login form with status 200 is not an empty project (conformance test 49)."""
        self.up.content_type = "text/plain"
        self.up.pages["/simple/demo/"] = "Welcome to the Hotel"
        self.assert_down(self.page("demo"))
        self.up.content_type = "application/vnd.pypi.simple.v1+json"
        for number, page in enumerate(("[]", "{", '{"files": 5}', '{"meta": {"api-version": "2.0"}, "files": []}')):
            self.up.pages[f"/simple/odd-{number}/"] = page
            self.assert_down(self.page(f"odd-{number}"))

    def test_the_upstream_is_overloaded(self) -> None:
        """Its 429 does not reach pip, which takes that for "no such package" (conformance test 50)."""
        self.up.status, self.up.headers = 429, {"Retry-After": "30"}
        self.assertEqual(self.assert_down(self.page("demo")), 30)

    def test_a_cold_project_and_a_slow_upstream(self) -> None:
        """503 before pip and poetry give up, and the page is there for the next try (conformance test 55)."""
        self.up.gate = Deferred()
        waiting = self.begin(DEMO, accept=PIP)
        self.advance(11.9)
        self.assertFalse(waiting.over)
        self.advance(2)
        self.assert_down(waiting.answer())
        self.up.gate.callback(None)
        self.settle()
        self.assertEqual(self.page("demo").code, 200)
        self.assertEqual(self.up.asked("/simple/demo/"), 1)

    def test_a_client_that_leaves_stops_nothing(self) -> None:
        """The others are answered by the same question (conformance test 55)."""
        self.up.gate = Deferred()
        leaving = self.agent.request(b"GET", f"http://cache.example{DEMO}".encode())
        staying = self.begin(DEMO, accept=PIP)
        leaving.cancel()
        self.settle()
        self.failureResultOf(leaving)
        self.up.gate.callback(None)
        self.settle()
        self.assertEqual(staying.answer().code, 200)
        self.assertEqual(self.up.asked("/simple/demo/"), 1)


class KnownTests(TroubleCase):
    """Of which a page is remembered."""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(self.page("demo").code, 200)
        self.advance(1801)

    def test_the_upstream_fails(self) -> None:
        """The page is served at once, for whatever reason the upstream gives none (conformance test 49)."""
        for status in (500, 503, 429, 401, 404, 403):
            self.up.status = status
            self.advance(600)
            self.assert_stale(self.page("demo"))

    def test_the_connection_breaks_off(self) -> None:
        """Half a page is no page (conformance test 49)."""

        def half(request: Any) -> bytes:
            request.setHeader("content-length", "1000")
            request.write(b'{"meta": {"api-version": "1.0"}, "name": "demo", "files": []}')
            request.transport.loseConnection()
            waiting: Any = Deferred()
            return waiting  # type: ignore[no-any-return]  # a Deferred is as good as its value there

        self.up.special["/simple/demo/"] = half
        self.assert_stale(self.page("demo"))

    def test_failures_are_not_repeated_for_every_client(self) -> None:
        """After a failure the upstream is left alone for a while, longer each time (conformance test 49)."""
        self.up.status = 500
        for _ in range(5):
            self.assert_stale(self.page("demo"))
        self.assertEqual(self.up.asked("/simple/demo/"), 2)
        self.advance(5)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 3)
        self.advance(5)
        self.page("demo")
        self.assertEqual(self.up.asked("/simple/demo/"), 3)

    def test_the_upstream_is_slow(self) -> None:
        """The first client waits ``request_timeout``, the next ones not at all, and the answer is used (test 49)."""
        self.up.gate = Deferred()
        first = self.begin(DEMO, accept=PIP)
        self.advance(4.9)
        self.assertFalse(first.over)
        self.advance(0.2)
        self.assert_stale(first.answer())
        self.assert_stale(self.page("demo"))
        self.up.gate.callback(None)
        self.settle()
        self.assertIsNone(self.page("demo").header("x-pypicache-stale"))
        self.assertEqual(self.up.asked("/simple/demo/"), 2)

    def test_request_timeout(self) -> None:
        """How long clients wait is configured (conformance test 49)."""
        self.stop()
        self.start(request_timeout=2.0)
        self.up.gate = Deferred()
        first = self.begin(DEMO, accept=PIP)
        self.advance(1.9)
        self.assertFalse(first.over)
        self.advance(0.2)
        self.assert_stale(first.answer())

    def test_an_upstream_that_never_answers(self) -> None:
        """It is given up after a minute, and asked again later (conformance test 49)."""
        self.up.gate = Deferred()
        self.begin(DEMO, accept=PIP)
        self.advance(61)
        self.advance(30)
        self.begin(DEMO, accept=PIP)
        self.assertEqual(self.up.asked("/simple/demo/"), 3)

    def test_a_project_that_vanishes(self) -> None:
        """It is served until the upstream has denied it for ten minutes (conformance test 48)."""
        self.up.status = 404
        began = self.clock.seconds()
        answer = self.page("demo")
        while answer.code == 200:
            self.assert_stale(answer)
            self.advance(61)
            self.assertLess(self.clock.seconds(), began + 1200)
            answer = self.page("demo")
        self.assertEqual(answer.code, 404)
        self.assertGreaterEqual(self.clock.seconds(), began + 600)
        self.up.status = 200
        self.advance(61)
        self.assertEqual(self.page("demo").code, 200)

    def test_a_project_that_vanished_for_a_moment(self) -> None:
        """The ten minutes begin anew when it was there in between (conformance test 48)."""
        self.up.status = 404
        self.assert_stale(self.page("demo"))
        self.up.status = 200
        self.advance(61)
        self.assertIsNone(self.page("demo").header("x-pypicache-stale"))
        self.up.status = 404
        self.advance(1801)
        self.assert_stale(self.page("demo"))

    def test_a_refusal_is_no_denial(self) -> None:
        """403 never takes away what was known (conformance test 48)."""
        self.up.status = 403
        for _ in range(30):
            self.advance(61)
            self.assert_stale(self.page("demo"))


class BreakerTests(TroubleCase):
    """An upstream that fails is left alone as a whole."""

    def fail(self, status: int = 500, times: int = 5) -> None:  # type: ignore[override]  # here it is the upstream's
        self.up.status = status
        for number in range(times):
            self.assert_down(self.page(f"some-{number}"))

    def test_it_opens(self) -> None:
        """After five failures in a row nothing is asked for a while."""
        self.fail()
        self.assertEqual(self.breaker()["state"], "open")
        asked = len(self.up.log)
        self.assert_down(self.page("demo"))
        self.assertEqual(len(self.up.log), asked)

    def test_it_closes(self) -> None:
        """One success is enough."""
        self.fail()
        self.up.status = 200
        self.advance(3)
        self.assertEqual(self.breaker()["state"], "half-open")
        self.assertEqual(self.page("demo").code, 200)
        self.assertEqual(self.breaker()["state"], "closed")

    def test_one_try_at_a_time(self) -> None:
        """Of many clients one asks whether the upstream is back; its failure doubles the pause."""
        self.fail()
        self.advance(3)
        asked = len(self.up.log)
        self.up.gate = Deferred()
        waiting = [self.begin(f"/root/pypi/+simple/some-{number}/", accept=PIP) for number in range(5)]
        self.assertEqual(len(self.up.log), asked + 1)
        self.up.gate.callback(None)
        self.settle()
        for one in waiting:
            self.assert_down(one.answer())
        self.assertGreaterEqual(self.breaker()["retry_in"], 3.0)

    def test_what_is_known_is_served_meanwhile(self) -> None:
        """The open circuit costs nobody time."""
        self.page("demo")
        self.advance(1801)
        self.fail()
        self.assert_stale(self.page("demo"))

    def test_one_404_is_no_failure(self) -> None:
        """An upstream that says no is healthy."""
        for number in range(10):
            self.assertEqual(self.page(f"nothing-{number}").code, 404)
        self.assertEqual(self.breaker()["state"], "closed")

    def test_retry_after_is_obeyed(self) -> None:
        """Not one request to an upstream that asked for a minute of peace, by 429 or 503."""
        for status in (429, 503):
            self.up.headers = {"Retry-After": "60"}
            self.fail(status, times=1)
            asked = len(self.up.log)
            self.advance(59)
            self.assertLessEqual(self.assert_down(self.page(f"other-{status}")), 1)
            self.assertEqual(len(self.up.log), asked)
            self.up.status, self.up.headers = 200, {}
            self.advance(2)
            self.assertEqual(self.page(f"other-{status}").code, 404)

    def test_retry_after_as_a_date(self) -> None:
        """The other form that RFC 9110 section 10.2.3 knows."""
        self.up.headers = {"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}  # a minute after the clock's beginning
        self.fail(429, times=1)
        self.assertAlmostEqual(self.breaker()["retry_in"], 60, delta=1)
