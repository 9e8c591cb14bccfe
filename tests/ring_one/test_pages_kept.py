"""What survives: offline, restarts, and a memory that is lost or broken."""

from __future__ import annotations

from tests.ring_one.house import HouseCase, file_of, page_of

ONE = b"one " * 100
TWO = b"two " * 100


class KeptCase(HouseCase):
    """With a project of two files, of which one was fetched."""

    def setUp(self) -> None:
        super().setUp()
        self.up.pages["/simple/demo/"] = page_of("demo", file_of("demo-1.zip", ONE), file_of("demo-2.zip", TWO))
        self.up.pages["/simple/other/"] = page_of("other", file_of("other-1.zip", b"other"))
        self.up.files["/packages/demo-1.zip"] = ONE
        self.up.files["/packages/demo-2.zip"] = TWO
        self.first, self.second = (file["url"] for file in self.files("demo"))
        self.assertEqual(self.get(self.first).body, ONE)
        self.up.log.clear()

    def restart(self, **changes: object) -> None:
        """End the daemon and start it again on the same directory, chores included."""
        self.stop()
        self.start(**changes)
        self.house.upkeep.start()
        self.settle()
        self.addCleanup(self.stop)

    def names(self) -> list[str]:
        """The files of the project's page."""
        return [str(file["filename"]) for file in self.files("demo")]


class OfflineTests(KeptCase):
    """Nothing is asked, and only what is held is offered."""

    def setUp(self) -> None:
        super().setUp()
        self.restart(offline=True)

    def tearDown(self) -> None:
        self.assertEqual(self.up.log, [])
        super().tearDown()

    def test_held_files_alone(self) -> None:
        """A page lists what can be had."""
        self.assertEqual(self.names(), ["demo-1.zip"])
        self.assertEqual(self.get(self.first).body, ONE)
        self.assertEqual(self.get(self.second).code, 404)

    def test_long_after(self) -> None:
        """Expiry means nothing, neither do clients that want it fresh, nor the clock."""
        for _ in range(20):
            self.advance(1800)
        self.assertEqual(self.names(), ["demo-1.zip"])
        self.assertEqual(self.page("demo", cache_control="no-cache").code, 200)
        self.assertEqual(self.get("/root/pypi/+simple/demo/refresh", "POST").code, 302)

    def test_unknown(self) -> None:
        """What nobody ever asked for cannot be told: 503, not 404."""
        answer = self.page("other")
        self.assertEqual((answer.code, (answer.header("retry-after") or "").isdigit()), (503, True))

    def test_project_list(self) -> None:
        """The projects that are known here."""
        answer = self.get("/root/pypi/+simple/", accept="application/vnd.pypi.simple.v1+json")
        self.assertEqual([project["name"] for project in answer.json()["projects"]], ["demo"])

    def test_without_memory(self) -> None:
        """The files alone are enough for a page."""
        self.stop()
        for path in self.directory.glob("memory.sqlite*"):
            path.unlink()
        self.start(offline=True)
        self.house.upkeep.start()
        self.settle()
        self.assertEqual(self.names(), ["demo-1.zip"])
        self.assertEqual(self.get(self.first).body, ONE)

    def test_status_says_so(self) -> None:
        """An operator sees why nothing is asked."""
        self.assertIs(self.get("/+status", accept="application/json").json()["result"]["offline"], True)


class RestartTests(KeptCase):
    """The daemon is started again."""

    def test_pages_and_files(self) -> None:
        """Nothing is asked for again while it is fresh."""
        before = self.page("demo")
        self.restart()
        after = self.page("demo")
        self.assertEqual((after.body, after.header("etag")), (before.body, before.header("etag")))
        self.assertEqual(self.get(self.first).body, ONE)
        self.assertEqual(self.up.log, [])

    def test_expired_pages(self) -> None:
        """They are revalidated, and served stale if the upstream is away."""
        self.restart()
        self.up.status = 500
        self.advance(1801)
        answer = self.page("demo")
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 2))
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def test_validators_are_remembered(self) -> None:
        """The upstream is asked with the tag of the page on disk."""
        self.up.headers["ETag"] = '"up-7"'
        self.page("demo", cache_control="no-cache")
        self.restart()
        self.advance(1801)
        self.page("demo")
        self.assertEqual(self.up.log[-1].headers["if-none-match"], '"up-7"')

    def test_a_denial_is_remembered(self) -> None:
        """A project that vanished just before the restart is not believed gone at once after it."""
        self.up.status = 404
        self.advance(1801)
        self.assertEqual(self.page("demo").code, 200)
        self.restart()
        self.assertEqual(self.page("demo").code, 200)
        self.advance(700)
        self.assertEqual(self.page("demo").code, 404)


class LostMemoryTests(KeptCase):
    """``memory.sqlite`` may be deleted at any time."""

    def lose(self) -> None:
        """Delete it between two runs."""
        self.stop()
        for path in self.directory.glob("memory.sqlite*"):
            path.unlink()
        self.start()
        self.house.upkeep.start()
        self.settle()
        self.addCleanup(self.stop)

    def test_files_are_found_again(self) -> None:
        """The page is asked for once; the file comes from the shelf."""
        self.lose()
        self.assertEqual(self.names(), ["demo-1.zip", "demo-2.zip"])
        self.assertEqual(self.get(self.first).body, ONE)
        self.assertEqual([asked.path for asked in self.up.log], ["/simple/demo/"])

    def test_the_upstream_is_away_as_well(self) -> None:
        """What is on the shelf is offered."""
        self.lose()
        self.up.status = 500
        answer = self.page("demo")
        self.assertEqual([file["filename"] for file in answer.json()["files"]], ["demo-1.zip"])
        self.assertIsNotNone(answer.header("x-pypicache-stale"))
        self.assertEqual(self.get(self.first).body, ONE)

    def test_broken(self) -> None:
        """A database that is none is set aside, and begun anew."""
        self.stop()
        (self.directory / "memory.sqlite").write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
        self.start()
        self.house.upkeep.start()
        self.settle()
        self.addCleanup(self.stop)
        self.assertEqual(self.names(), ["demo-1.zip", "demo-2.zip"])
        self.assertEqual(self.get(self.first).body, ONE)
        self.assertTrue(list(self.directory.glob("memory.sqlite.broken*")))
        self.stop()
        self.start()
        self.up.status = 500
        self.assertEqual(self.names(), ["demo-1.zip", "demo-2.zip"])

    def test_damaged_in_the_middle(self) -> None:
        """Pages of the database that were overwritten do not stop the daemon."""
        for number in range(50):
            self.up.pages[f"/simple/p{number}/"] = page_of(f"p{number}", file_of(f"p{number}-1.zip", b"", x="x" * 999))
            self.page(f"p{number}")
        self.stop()
        path = self.directory / "memory.sqlite"
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        self.start()
        self.house.upkeep.start()
        self.settle()
        self.addCleanup(self.stop)
        self.assertEqual(self.names(), ["demo-1.zip", "demo-2.zip"])
        self.assertEqual(self.get(self.first).body, ONE)

    def test_a_page_that_cannot_be_read(self) -> None:
        """One damaged page costs no other project, and is asked for again."""
        self.page("other")
        connection = self.house.memory.database._connection
        assert connection is not None
        connection.execute("UPDATE pages SET body = x'00' WHERE project = 'demo'")
        self.up.log.clear()
        self.restart()
        self.assertEqual(self.names(), ["demo-1.zip", "demo-2.zip"])
        self.up.status = 500
        self.assertEqual(self.page("other").code, 200)
