"""Pages that are kept fresh by the clock, and those that a person refreshes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.ring_one.house import HouseCase, file_of, page_of


class UpkeepCase(HouseCase):
    """With the chores running."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(40):
            self.up.pages[f"/simple/p{number}/"] = page_of(f"p{number}", file_of(f"p{number}-1.zip", b""))
        self.up.headers["ETag"] = '"up-1"'
        self.house.upkeep.start()

    def tearDown(self) -> None:
        self.stop()

    def pass_time(self, seconds: float) -> None:
        """Let time pass as it does, in small steps."""
        for _ in range(int(seconds // 15)):
            self.advance(15)


class RefreshAheadTests(UpkeepCase):
    """Pages in use do not expire."""

    def test_before_it_expires(self) -> None:
        """The clock asks the upstream, and no client waits for it."""
        self.page("p0")
        self.pass_time(1790)
        self.assertEqual(self.up.asked("/simple/p0/"), 2)
        self.assertEqual(self.up.log[-1].headers["if-none-match"], '"up-1"')
        self.pass_time(30)
        self.up.gate = Deferred()
        self.assertEqual(self.page("p0").code, 200)
        self.assertIsNone(self.page("p0").header("x-pypicache-stale"))

    def test_as_long_as_it_is_used(self) -> None:
        """A page that was used today is asked for about every half an hour, no more."""
        self.page("p0")
        self.pass_time(6 * 3600)
        self.assertGreaterEqual(self.up.asked("/simple/p0/"), 12)
        self.assertLessEqual(self.up.asked("/simple/p0/"), 21)

    def test_what_nobody_uses(self) -> None:
        """It is left alone."""
        self.stop()
        self.start(refresh_ahead=3600)
        self.house.upkeep.start()
        self.page("p0")
        self.pass_time(2 * 3600)
        asked = self.up.asked("/simple/p0/")
        self.pass_time(12 * 3600)
        self.assertLessEqual(asked, 4)
        self.assertEqual(self.up.asked("/simple/p0/"), asked)

    def test_turned_off(self) -> None:
        """``refresh_ahead = 0``: nothing is asked that no client asked for."""
        self.stop()
        self.start(refresh_ahead=0)
        self.house.upkeep.start()
        self.page("p0")
        self.pass_time(3600)
        self.assertEqual(self.up.asked("/simple/p0/"), 1)

    def test_a_few_at_a_time(self) -> None:
        """However many pages are due, at most eight questions are under way."""
        for number in range(40):
            self.page(f"p{number}")
        asked = len(self.up.log)
        self.up.gate = Deferred()
        self.advance(1700)  # in one step, after which all of them are due
        self.assertEqual(len(self.up.log) - asked, 8)
        self.up.gate.callback(None)
        self.pass_time(60)
        self.assertEqual(len(self.up.log) - asked, 40)

    def test_not_all_at_once(self) -> None:
        """Pages that were asked for together are renewed one after the other."""
        for number in range(40):
            self.page(f"p{number}")
        self.advance(1070)
        most = 0
        for _ in range(40):
            asked = len(self.up.log)
            self.advance(15)
            most = max(most, len(self.up.log) - asked)
        self.assertEqual(len(self.up.log), 80)
        self.assertLess(most, 12)

    def test_an_upstream_that_is_away(self) -> None:
        """The chore goes on when it is back."""
        self.page("p0")
        self.up.status = 500
        self.pass_time(1700)
        self.up.status = 200
        self.pass_time(600)
        self.assertIsNone(self.page("p0").header("x-pypicache-stale"))

    def test_new_files_are_found_by_it(self) -> None:
        """A page that changed is there before anybody asks."""
        tag = self.page("p0").header("etag") or ""
        self.up.headers["ETag"] = '"up-2"'
        self.up.pages["/simple/p0/"] = page_of("p0", file_of("p0-1.zip", b""), file_of("p0-2.zip", b"2"))
        self.pass_time(1790)
        answer = self.page("p0", if_none_match=tag)
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 2))
        self.assertEqual(self.up.asked("/simple/p0/"), 2)


class RefreshTests(HouseCase):
    """``POST .../refresh`` (contract devpi 10)."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.zip", b""))

    def test_refresh(self) -> None:
        """The upstream is asked again now, and the way back is the page."""
        self.page("demo")
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-2.zip", b"2"))
        for number, path in enumerate(("/root/pypi/+simple/demo/refresh", "/root/pypi/Demo/refresh")):
            answer = self.get(path, "POST")
            self.assertEqual((answer.code, answer.header("location")), (302, "/root/pypi/+simple/demo/"))
            self.assertEqual(answer.header("cache-control"), "no-store")
            self.assertEqual(self.up.asked("/simple/demo/"), number + 2)
            self.advance(1)
        self.assertEqual([file["filename"] for file in self.files("demo")], ["demo-2.zip"])

    def test_unknown(self) -> None:
        """404 for a project or an index that does not exist."""
        self.assertEqual(self.get("/root/pypi/+simple/nothing/refresh", "POST").code, 404)
        self.assertEqual(self.get("/root/nothing/+simple/demo/refresh", "POST").code, 404)

    def test_everybody_at_once(self) -> None:
        """Any number of refreshes is one question."""
        self.page("demo")
        self.up.gate = Deferred()
        waiting = [self.begin("/root/pypi/+simple/demo/refresh", "POST") for _ in range(5)]
        self.up.gate.callback(None)
        self.settle()
        self.assertEqual({one.answer().code for one in waiting}, {302})
        self.assertEqual(self.up.asked("/simple/demo/"), 2)

    def test_the_upstream_is_down(self) -> None:
        """With a page at hand the refresh leads there, else it is 503."""
        self.page("demo")
        self.up.status = 500
        self.assertEqual(self.get("/root/pypi/+simple/demo/refresh", "POST").code, 302)
        self.assertEqual(self.get("/root/pypi/+simple/other/refresh", "POST").code, 503)
