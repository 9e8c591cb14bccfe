"""A stage over other indexes: what is merged, what is hidden, what is asked (contract devpi 17)."""

from __future__ import annotations

from hashlib import sha256

from twisted.internet.defer import Deferred

from pypicache.core.changes import ReleaseSaved
from tests.ring_one.accounts import basic
from tests.ring_one.stages import ALICE, PIP, WHEN, StagesCase

LIST = {"accept": PIP}


class MergeTests(StagesCase):
    def test_a_page_of_a_stage(self) -> None:
        """Everything that clients look at is there; nobody may keep the page without asking."""
        path = self.have("alice/dev", "own-1.0-py3-none-any.whl", b"wheel", requires_python=">=3.8",
                         core_metadata="ab" * 32, yanked="broken")  # fmt: skip
        answer = self.simple("alice/dev", "own")
        page = answer.json()
        self.assertEqual((answer.code, answer.header("cache-control")), (200, "no-cache"))
        self.assertIsNone(answer.header("x-pypi-last-serial"))
        self.assertEqual((page["name"], page["versions"], page["meta"]["api-version"]), ("own", ["1.0"], "1.4"))
        (file,) = page["files"]
        self.assertEqual(file["url"], f"/alice/dev/{path}")
        self.assertEqual((file["size"], file["upload-time"]), (5, WHEN))
        self.assertEqual(file["hashes"], {"sha256": sha256(b"wheel").hexdigest()})
        self.assertEqual((file["requires-python"], file["yanked"]), (">=3.8", "broken"))
        self.assertEqual(file["core-metadata"], {"sha256": "ab" * 32})
        self.assertEqual(self.get(file["url"]).body, b"wheel")
        self.assertIn("immutable", self.get(file["url"]).header("cache-control") or "")

    def test_unchanged(self) -> None:
        self.have("alice/dev", "own-1.0.tar.gz", b"own")
        etag = self.simple("alice/dev", "own").header("etag") or ""
        self.assertEqual(self.simple("alice/dev", "own", if_none_match=etag).code, 304)
        self.have("alice/dev", "own-1.1.tar.gz", b"new", version="1.1")
        self.assertEqual(self.simple("alice/dev", "own", if_none_match=etag).code, 200)

    def test_the_mirror_below(self) -> None:
        self.up.headers["X-PyPI-Last-Serial"] = "7"
        answer = self.simple("alice/dev", "demo")
        self.assertEqual((answer.header("cache-control"), answer.header("x-pypi-last-serial")), ("no-cache", None))
        (file,) = answer.json()["files"]
        self.assertTrue(file["url"].startswith("/root/pypi/+f/"))
        self.assertEqual(self.get(file["url"]).body, b"from upstream")

    def test_the_status_of_a_mirrored_project(self) -> None:
        self.up.pages["/simple/demo/"]["project-status"] = {"status": "archived"}  # type: ignore[index]
        self.assertEqual(self.simple("alice/dev", "demo").json()["project-status"], {"status": "archived"})

    def test_stages_come_first_breadth_first(self) -> None:
        """The first index that has a file name gives the file, wherever mirrors were listed."""
        self.make("bob/low", bases="root/pypi", mirror_whitelist="*")
        self.make("bob/next", mirror_whitelist="*")
        self.send("PATCH", "/alice/dev", {"bases": "root/pypi,bob/low,bob/next", "mirror_whitelist": "*"}, **ALICE)
        self.mirrored("own", "own-1.0.tar.gz", b"0", "own-4.0.tar.gz", b"4")
        self.have("bob/next", "own-1.0.tar.gz", b"1")
        self.have("bob/next", "own-3.0.tar.gz", b"3", version="3.0")
        self.have("bob/low", "own-1.0.tar.gz", b"2")
        urls = self.listed("alice/dev", "own")
        self.assertEqual({name: self.get(url).body for name, url in urls.items()},
                         {"own-1.0.tar.gz": b"2", "own-3.0.tar.gz": b"3", "own-4.0.tar.gz": b"4"})  # fmt: skip
        self.have("alice/dev", "own-1.0.tar.gz", b"9")
        self.assertEqual(self.get(self.listed("alice/dev", "own")["own-1.0.tar.gz"]).body, b"9")
        self.assertEqual(self.simple("alice/dev", "own").json()["versions"], ["1.0", "3.0", "4.0"])

    def test_bases_that_lead_in_a_circle(self) -> None:
        self.make("bob/low", bases="alice/dev")
        self.send("PATCH", "/alice/dev", ["bases+=bob/low"], **ALICE)
        self.have("bob/low", "own-1.0.tar.gz", b"own")
        self.assertEqual(list(self.listed("alice/dev", "own")), ["own-1.0.tar.gz"])
        self.assertEqual(list(self.listed("bob/low", "demo")), ["demo-1.0.tar.gz"])

    def test_a_change_below_is_seen_above(self) -> None:
        self.make("bob/low")
        self.send("PATCH", "/alice/dev", {"bases": "bob/low"}, **ALICE)
        self.assertEqual(self.simple("alice/dev", "own").code, 404)
        path = self.have("bob/low", "own-1.0.tar.gz", b"own")
        self.assertEqual(self.listed("alice/dev", "own"), {"own-1.0.tar.gz": f"/bob/low/{path}"})

    def test_installers_may_leave_out_simple(self) -> None:
        self.have("alice/dev", "own-1.0.tar.gz", b"own")
        for path in ("/alice/dev/own/", "/alice/dev/own"):
            answer = self.get(path, user_agent="pip/24.0", accept=PIP)
            self.assertEqual([file["filename"] for file in answer.json()["files"]], ["own-1.0.tar.gz"])

    def test_refresh_asks_the_mirrors_below(self) -> None:
        self.listed("alice/dev", "demo")
        self.mirrored("demo", "demo-2.0.tar.gz", b"new")
        self.assertEqual(list(self.listed("alice/dev", "demo")), ["demo-1.0.tar.gz"])
        answer = self.get("/alice/dev/+simple/Demo/refresh", "POST")
        self.assertEqual((answer.code, answer.header("location")), (302, "/alice/dev/+simple/demo/"))
        self.assertEqual(list(self.listed("alice/dev", "demo")), ["demo-2.0.tar.gz"])

    def test_a_file_that_is_missing_on_disk(self) -> None:
        """404, and nobody is asked for it."""
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        self.house.shelf.remove(f"alice/dev/{path}")
        asked = len(self.up.log)
        self.assertEqual(self.get(f"/alice/dev/{path}").code, 404)
        self.assertEqual(len(self.up.log), asked)


class HiddenTests(StagesCase):
    """The names of private projects do not leave the house, and strangers cannot slip files under them."""

    def setUp(self) -> None:
        super().setUp()
        self.mirrored("own", "own-9.0.tar.gz", b"evil")

    def whitelist(self, index: str, *names: str, inheritance: str = "intersection") -> None:
        user = index.partition("/")[0]
        options = {"mirror_whitelist": list(names), "mirror_whitelist_inheritance": inheritance}
        self.assertEqual(self.send("PATCH", f"/{index}", options, **basic(user, f"pw-{user}")).code, 200)

    def test_a_private_project_is_never_asked_for(self) -> None:
        self.have("alice/dev", "own-1.0.tar.gz", b"own")
        for _ in range(2):
            self.assertEqual(list(self.listed("alice/dev", "own", cache_control="no-cache")), ["own-1.0.tar.gz"])
        self.get("/alice/dev/+simple/own/refresh", "POST")
        self.send("GET", "/alice/dev/own")
        self.send("GET", "/alice/dev/own/1.0")
        self.assertEqual(self.up.asked("/simple/own/"), 0)

    def test_nor_one_of_a_base(self) -> None:
        self.make("bob/low", bases="root/pypi")
        self.send("PATCH", "/alice/dev", {"bases": "bob/low"}, **ALICE)
        self.have("bob/low", "own-1.0.tar.gz", b"own")
        self.assertEqual(list(self.listed("alice/dev", "own")), ["own-1.0.tar.gz"])
        self.assertEqual(self.up.asked("/simple/own/"), 0)

    def test_nor_one_whose_only_version_has_no_file(self) -> None:
        self.record(ReleaseSaved(index="alice/dev", project="own", version="1.0", metadata={"name": "own"}))
        self.assertEqual(self.listed("alice/dev", "own"), {})
        self.assertEqual(self.up.asked("/simple/own/"), 0)

    def test_the_whitelist_lets_both_in(self) -> None:
        self.have("alice/dev", "own-1.0.tar.gz", b"own")
        for names in (("own",), ("*",), ("Own", "other")):
            self.whitelist("alice/dev", *names)
            self.assertEqual(list(self.listed("alice/dev", "own")), ["own-1.0.tar.gz", "own-9.0.tar.gz"], names)
        self.whitelist("alice/dev", "other")
        self.assertEqual(list(self.listed("alice/dev", "own")), ["own-1.0.tar.gz"])

    def layered(self, top: tuple[str, ...], low: tuple[str, ...], inheritance: str) -> list[str]:
        """What is listed when both stages have a whitelist."""
        self.whitelist("alice/dev", *top, inheritance=inheritance)
        self.whitelist("bob/low", *low)
        return [name[4:7] for name in self.listed("alice/dev", "own")]

    def test_whitelists_of_bases(self) -> None:
        """The rule of the index that was asked counts; what it admits itself, no base can shut out."""
        self.make("bob/low", bases="root/pypi")
        self.send("PATCH", "/alice/dev", {"bases": "bob/low"}, **ALICE)
        self.have("bob/low", "own-1.0.tar.gz", b"own")
        self.assertEqual(self.layered((), (), "intersection"), ["1.0"])
        self.assertEqual(self.layered(("own",), (), "intersection"), ["1.0", "9.0"])
        self.assertEqual(self.layered((), ("own",), "intersection"), ["1.0"])
        self.assertEqual(self.layered((), ("own",), "union"), ["1.0", "9.0"])
        self.assertEqual(self.layered(("other",), ("own", "other"), "intersection"), ["1.0"])
        self.have("alice/dev", "own-2.0.tar.gz", b"own", version="2.0")
        self.assertEqual(self.layered((), ("own",), "union"), ["2.0", "1.0", "9.0"])


class TroubleTests(StagesCase):
    def test_an_upstream_that_fails_is_empty_where_others_answer(self) -> None:
        self.send("PATCH", "/alice/dev", {"mirror_whitelist": "*"}, **ALICE)
        self.have("alice/dev", "demo-0.1.tar.gz", b"own", version="0.1")
        self.up.status = 500
        answer = self.simple("alice/dev", "demo")
        self.assertEqual([file["filename"] for file in answer.json()["files"]], ["demo-0.1.tar.gz"])
        self.assertIsNotNone(answer.header("x-pypicache-stale"))
        self.up.status = 200
        self.advance(3600)
        answer = self.simple("alice/dev", "demo")
        self.assertEqual(len(answer.json()["files"]), 2)
        self.assertIsNone(answer.header("x-pypicache-stale"))

    def test_nobody_knows(self) -> None:
        """Not 404: an installer would go on to another index, and take what it finds there."""
        self.up.status = 500
        answer = self.simple("alice/dev", "demo")
        self.assertEqual(answer.code, 503)
        self.assertTrue((answer.header("retry-after") or "").isdigit())

    def test_what_is_remembered_is_stale(self) -> None:
        self.listed("alice/dev", "demo")
        self.up.status = 500
        self.advance(3600)
        answer = self.simple("alice/dev", "demo")
        self.assertEqual((answer.code, len(answer.json()["files"])), (200, 1))
        self.assertIsNotNone(answer.header("x-pypicache-stale"))

    def test_mirrors_are_asked_side_by_side(self) -> None:
        """Two slow upstreams cost the time of one."""
        self.make("bob/m", type="mirror", mirror_url="http://up.example/other/simple/")
        self.send("PATCH", "/alice/dev", ["bases+=bob/m"], **ALICE)
        self.up.gate = Deferred()
        pending = self.begin("/alice/dev/+simple/demo/", accept=PIP)
        self.assertFalse(pending.over)
        self.assertEqual({asked.path for asked in self.up.log}, {"/simple/demo/", "/other/simple/demo/"})
        self.up.gate.callback(None)
        self.assertTrue(pending.over)
        self.assertEqual(len(pending.answer().json()["files"]), 1)

    def test_a_client_that_leaves_stops_nothing(self) -> None:
        self.up.gate = Deferred()
        pending = self.begin("/alice/dev/+simple/demo/", accept=PIP)
        pending.asked.cancel()
        self.settle()
        self.up.gate.callback(None)
        self.settle()
        self.assertEqual(self.up.asked("/simple/demo/"), 1)
        self.assertEqual(list(self.listed("alice/dev", "demo")), ["demo-1.0.tar.gz"])
        self.assertEqual(self.up.asked("/simple/demo/"), 1)


class ListTests(StagesCase):
    """The project list of a stage: its own names and those of all bases."""

    def setUp(self) -> None:
        super().setUp()
        self.upstream_has("demo", "Big.One", "own")
        self.have("alice/dev", "own-1.0.tar.gz", b"own")

    def upstream_has(self, *names: str) -> None:
        projects = [{"name": name, "_last-serial": 7} for name in names]
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.4", "_last-serial": 9}, "projects": projects}

    def names(self, index: str = "alice/dev") -> list[str]:
        answer = self.get(f"/{index}/+simple/", **LIST)
        self.assertEqual((answer.code, answer.header("cache-control")), (200, "no-cache"), answer.body)
        self.assertEqual(answer.json()["meta"], {"api-version": "1.4"})
        self.assertTrue(all(list(project) == ["name"] for project in answer.json()["projects"]))
        return [project["name"] for project in answer.json()["projects"]]

    def test_names(self) -> None:
        """Own names first, each once; the whitelist says nothing here."""
        self.assertEqual(self.names(), ["own", "demo", "Big.One"])
        self.make("bob/low")
        self.send("PATCH", "/alice/dev", ["bases+=bob/low"], **ALICE)
        self.have("bob/low", "low-1.0.tar.gz", b"low")
        self.assertEqual(self.names(), ["own", "low", "demo", "Big.One"])
        self.assertEqual(self.names("bob/low"), ["low"])

    def test_html(self) -> None:
        answer = self.get("/alice/dev/+simple/", accept="text/html")
        self.assertIn('<a href="own/">own</a>', answer.body.decode())
        self.assertIn('<a href="big-one/">Big.One</a>', answer.body.decode())
        self.assertEqual(answer.body.count(b"own/"), 1)

    def test_unchanged_and_changed(self) -> None:
        etag = self.get("/alice/dev/+simple/", **LIST).header("etag") or ""
        self.assertEqual(self.get("/alice/dev/+simple/", **LIST, if_none_match=etag).code, 304)
        self.have("alice/dev", "own-1.1.tar.gz", b"new", version="1.1")
        self.assertEqual(self.get("/alice/dev/+simple/", **LIST, if_none_match=etag).code, 304)
        self.have("alice/dev", "more-1.0.tar.gz", b"more")
        self.assertEqual(self.get("/alice/dev/+simple/", **LIST, if_none_match=etag).code, 200)
        self.send("DELETE", "/alice/dev/more", **ALICE)
        self.assertEqual(self.names(), ["own", "demo", "Big.One"])

    def test_the_upstream_has_more(self) -> None:
        self.names()
        self.upstream_has("demo", "new")
        self.advance(3600)
        self.assertEqual(self.names(), ["own", "demo", "new"])

    def test_after_a_restart(self) -> None:
        self.names()
        self.stop()
        self.start()
        self.assertEqual(self.names(), ["own", "demo", "Big.One"])

    def test_an_upstream_that_fails(self) -> None:
        """What is known of it is listed, and the answer says that it is not all."""
        self.page("demo")
        self.up.status = 500
        self.assertEqual(self.names(), ["own", "demo"])
        self.assertIsNotNone(self.get("/alice/dev/+simple/", **LIST).header("x-pypicache-stale"))

    def test_an_empty_index(self) -> None:
        self.make("bob/low")
        self.assertEqual(self.names("bob/low"), [])

    def test_installers_may_leave_out_simple(self) -> None:
        answer = self.get("/alice/dev/", user_agent="pip/24.0", accept=PIP)
        self.assertEqual(len(answer.json()["projects"]), 3)
