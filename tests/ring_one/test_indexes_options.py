"""Indexes are made, changed and deleted (contract devpi 7)."""

from __future__ import annotations

from pypicache.core.changes import IndexSaved
from tests.ring_one.accounts import basic
from tests.ring_one.stages import ALICE, BOB, StagesCase

DEFAULTS = {
    "type": "stage", "volatile": True, "acl_upload": ["alice"], "acl_toxresult_upload": [":ANONYMOUS:"], "bases": [],
    "mirror_whitelist": [], "mirror_whitelist_inheritance": "intersection",
}  # fmt: skip


class CreateTests(StagesCase):
    def test_a_stage_has_its_defaults(self) -> None:
        """200, not 201; no ``projects``; exactly ``application/json``."""
        answer = self.send("PUT", "/alice/new", {}, **ALICE)
        self.assertEqual((answer.code, answer.header("content-type")), (200, "application/json"))
        self.assertEqual(answer.json(), {"result": DEFAULTS, "type": "indexconfig"})

    def test_without_a_body(self) -> None:
        self.assertEqual(self.send("PUT", "/alice/new/", **ALICE).json()["result"], DEFAULTS)

    def test_texts_are_read_as_the_devpi_client_sends_them(self) -> None:
        options = {
            "bases": "/root/pypi/, alice/dev", "volatile": "False", "acl_upload": "alice,:dev,:anonymous:",
            "mirror_whitelist": "Foo.Bar,*", "mirror_whitelist_inheritance": "UNION", "title": "New",
        }  # fmt: skip
        result = self.send("PUT", "/alice/new", options, **ALICE).json()["result"]
        self.assertEqual(
            result,
            {
                **DEFAULTS, "bases": ["root/pypi", "alice/dev"], "volatile": False, "title": "New",
                "acl_upload": ["alice", ":dev", ":ANONYMOUS:"], "mirror_whitelist": ["foo-bar", "*"],
                "mirror_whitelist_inheritance": "union",
            },
        )  # fmt: skip

    def test_a_mirror(self) -> None:
        """Options of stages vanish, numbers are numbers, credentials are not shown to anybody."""
        options = {
            "type": "mirror", "mirror_url": "http://me:secret@up.example/simple", "mirror_cache_expiry": "60",
            "bases": "x/y", "acl_upload": "bob",
        }  # fmt: skip
        answer = self.send("PUT", "/alice/m", options, **ALICE)
        self.assertEqual(
            answer.json()["result"],
            {
                "type": "mirror", "volatile": True, "mirror_url": "http://****:****@up.example/simple",
                "mirror_cache_expiry": 60,
            },
        )  # fmt: skip
        self.mirrored("other", "other-1.0.tar.gz", b"x")
        self.assertEqual(list(self.listed("alice/m", "other")), ["other-1.0.tar.gz"])
        self.assertEqual(self.up.log[-1].headers["authorization"], basic("me", "secret")["authorization"])

    def test_what_is_refused(self) -> None:
        """Codes and sentences of section 7.3; that an index exists is said before who may make one."""
        for code, sentence, path, options, who in (
            (404, "no user 'carol'", "/carol/new", {}, ALICE),
            (409, "index 'alice/dev' exists", "/alice/dev", {}, {}),
            (403, "no permission to create index alice/new", "/alice/new", {}, BOB),
            (403, "no permission to create index alice/new", "/alice/new", {}, {}),
            (400, "unknown index type 'x'", "/alice/new", {"type": "x"}, ALICE),
            (400, "indexconfig got unexpected keyword arguments: foo=bar", "/alice/new", {"foo": "bar"}, ALICE),
            (400, "indexconfig got unexpected keyword arguments: foo=bar", "/alice/new",
             {"foo": "bar", "type": "mirror"}, ALICE),
            (400, "base index 'x/y' does not exist", "/alice/new", {"bases": "x/y"}, ALICE),
            (400, "invalid base index spec: 'foo'", "/alice/new", {"bases": ["foo"]}, ALICE),
            (400, "Bad request: could not decode json", "/alice/new", b"{", ALICE),
            (400, "Unknown boolean value 'maybe'.", "/alice/new", {"volatile": "maybe"}, ALICE),
            (400, "Unknown boolean value ''.", "/alice/new", {"conceal": ""}, ALICE),
            (400, "Unknown boolean value 2.", "/alice/new", {"type": "mirror", "mirror_no_project_list": 2}, ALICE),
        ):  # fmt: skip
            answer = self.send("PUT", path, options, **who)
            self.assertEqual((answer.code, answer.json()["message"]), (code, sentence), path)
        self.assertEqual(self.send("PUT", "/alice/n%20w", {}, **ALICE).code, 400)
        self.assertEqual(self.send("PUT", "/alice/new", b" " * (2**20 + 1), **ALICE).code, 413)
        self.assertEqual(self.send("GET", "/alice/new").code, 404)

    def test_root_may_and_is_not_in_the_upload_list(self) -> None:
        answer = self.send("PUT", "/alice/new", {}, **basic("root", ""))
        self.assertEqual((answer.code, answer.json()["result"]["acl_upload"]), (200, ["alice"]))


class ShowTests(StagesCase):
    def test_own_projects_only(self) -> None:
        self.have("alice/dev", "b-1.0.tar.gz", b"b")
        self.have("alice/dev", "a-1.0.tar.gz", b"a")
        shown = self.send("GET", "/alice/dev").json()
        self.assertEqual(shown["type"], "indexconfig")
        self.assertEqual(shown["result"]["projects"], ["a", "b"])
        self.have("alice/dev", "c-1.0.tar.gz", b"c")
        self.assertEqual(self.send("GET", "/alice/dev/").json()["result"]["projects"], ["a", "b", "c"])

    def test_without_projects_nothing_is_fetched(self) -> None:
        asked = len(self.up.log)
        for query in ("?no_projects", "?no_projects="):
            self.assertNotIn("projects", self.send("GET", f"/root/pypi{query}", {}).json()["result"])
        self.assertEqual(len(self.up.log), asked)

    def test_projects_of_a_mirror_are_normalised(self) -> None:
        self.up.pages["/simple/"] = {"meta": {"api-version": "1.0"}, "projects": [{"name": "Foo.Bar"}, {"name": "a"}]}
        self.assertEqual(self.send("GET", "/root/pypi").json()["result"]["projects"], ["a", "foo-bar"])

    def test_projects_of_a_mirror_whose_upstream_is_down(self) -> None:
        self.page("demo")
        self.up.status = 500
        self.assertEqual(self.send("GET", "/root/pypi").json()["result"]["projects"], ["demo"])


class ChangeTests(StagesCase):
    def change(self, content: object, name: str = "alice/dev", query: str = "", **who: str) -> dict[str, object]:
        answer = self.send("PATCH", f"/{name}{query}", content, **(who or ALICE))
        self.assertEqual(answer.code, 200, answer.body)
        self.assertEqual(answer.json()["type"], "indexconfig")
        self.assertNotIn("projects", answer.json()["result"])
        result: dict[str, object] = answer.json()["result"]
        self.assertEqual(self.send("GET", f"/{name}?no_projects").json()["result"], result)
        return result

    def test_an_object_changes_what_it_mentions(self) -> None:
        result = self.change({"title": "Dev", "volatile": False, "projects": ["x"], "type": "stage"})
        self.assertEqual(result, {**DEFAULTS, "bases": ["root/pypi"], "title": "Dev", "volatile": False})

    def test_a_whole_answer_may_be_sent_back(self) -> None:
        whole = self.send("GET", "/alice/dev").json()
        whole["result"]["title"] = "Dev"
        self.assertEqual(self.change(whole)["title"], "Dev")

    def test_edits(self) -> None:
        """In their order; ``+=`` takes one item, commas and all."""
        self.make("bob/x")
        result = self.change([
            "acl_upload+=:dev", "acl_upload+=a,b", "acl_upload+=:dev", "title=Dev=1", "acl_upload-=alice",
            "mirror_whitelist+=Foo.Bar", "bases+=/bob/x/", "volatile=no",
        ])  # fmt: skip
        self.assertEqual(
            result,
            {
                **DEFAULTS, "acl_upload": [":dev", "a,b"], "title": "Dev=1", "mirror_whitelist": ["foo-bar"],
                "bases": ["root/pypi", "bob/x"], "volatile": False,
            },
        )  # fmt: skip
        result = self.change(["title-=", "mirror_whitelist-=foo_bar", "bases-=bob/x"])
        self.assertNotIn("title", result)
        self.assertEqual((result["mirror_whitelist"], result["bases"]), ([], ["root/pypi"]))

    def test_edits_that_cannot_be_done(self) -> None:
        serial = self.house.ledger.serial
        for sentence, edit in (
            ("The 'acl_upload' setting doesn't have value 'x'", "acl_upload-=x"),
            ("Default values can't be removed.", "acl_upload-="),
            ("The 'title' setting is not a list", "title+=x"),
            ("indexconfig got unexpected keyword arguments: nokeyvalue", "nokeyvalue"),
            ("indexconfig got unexpected keyword arguments: foo=bar", "foo=bar"),
            ("the 'type' of an index can't be changed", "type=mirror"),
            ("base index 'x/y' does not exist", "bases+=x/y"),
            ("Unknown boolean value 'maybe'.", "volatile=maybe"),
        ):
            answer = self.send("PATCH", "/alice/dev", ["title=lost", edit] if "title" not in edit else [edit], **ALICE)
            self.assertEqual((answer.code, answer.json()["message"]), (400, sentence), edit)
        self.assertEqual(self.send("PATCH", "/alice/dev", 7, **ALICE).code, 400)
        self.assertEqual(self.house.ledger.serial, serial)
        self.assertNotIn("title", self.send("GET", "/alice/dev").json()["result"])

    def test_nothing_new(self) -> None:
        """No serial; an error where the client wants one."""
        serial = self.house.ledger.serial
        self.change({"volatile": "yes"})
        self.assertEqual(self.house.ledger.serial, serial)
        answer = self.send("PATCH", "/alice/dev?error_on_noop", {"volatile": "yes"}, **ALICE)
        self.assertEqual(
            (answer.code, answer.json()["message"]), (400, "The requested modifications resulted in no changes")
        )
        edits = ["acl_upload+=alice"]
        answer = self.send("PATCH", "/alice/dev?error_on_noop", edits, **ALICE)
        self.assertEqual((answer.code, answer.json()["message"][:13]), (400, "The requested"))
        self.assertEqual(self.house.ledger.serial, serial)
        self.change({"volatile": "no"}, query="?error_on_noop")

    def test_errors_are_json_where_only_json_is_spoken(self) -> None:
        """For scripts that take anything, as most do; a browser and a client that names something else read text."""
        file = "/alice/dev/+f/abc/def/x-1.0.tar.gz"
        asked = [("PUT", "/alice/a:b"), ("PATCH", "/alice/none"), ("DELETE", "/alice/none"), ("PUSH", "/alice/none")]
        for method, path in [*asked, ("POST", "/+login"), ("POST", file), ("GET", file)]:
            answer = self.send(method, path, {}, accept="*/*", **ALICE)
            self.assertGreaterEqual(answer.code, 400, path)
            self.assertEqual(answer.header("content-type"), "application/json", path)
            self.assertTrue(answer.json()["message"], path)
            for accept in ("text/html,*/*;q=0.8", "text/plain"):
                answer = self.send(method, path, {}, accept=accept, **ALICE)
                self.assertEqual(answer.header("content-type"), "text/plain; charset=utf-8", (path, accept))

    def test_who_may(self) -> None:
        for who in (BOB, {}):
            answer = self.send("PATCH", "/alice/dev", {"title": "x"}, **who)
            self.assertEqual((answer.code, answer.json()["message"]), (403, "no permission to modify index alice/dev"))
        self.assertEqual(self.send("PATCH", "/alice/none", {}, **ALICE).code, 403)
        self.change({"title": "x"}, **basic("root", ""))

    def test_stars_sent_back_are_the_credentials_that_are_there(self) -> None:
        self.make("alice/m", type="mirror", mirror_url="http://me:secret@up.example/simple/")
        shown = self.send("GET", "/alice/m?no_projects").json()["result"]
        self.change({**shown, "title": "x"}, "alice/m")
        self.change(["mirror_url=" + shown["mirror_url"]], "alice/m")
        self.page("demo")
        self.listed("alice/m", "demo")
        self.assertEqual(self.up.log[-1].headers["authorization"], basic("me", "secret")["authorization"])
        answer = self.send("PATCH", "/alice/m", {"mirror_url": "http://****:****@elsewhere.example/"}, **ALICE)
        self.assertEqual(answer.code, 400)

    def test_an_address_is_shown_as_it_was_given(self) -> None:
        """A slash or a capital more or less is the same upstream, and needs its credentials as before."""
        self.make("alice/m", type="mirror", mirror_url="http://me:se%63ret@up.example/simple")
        for spelled in ("up.example/simple", "up.example/simple/", "up.example/simple?", "up.example/simple#a"):
            result = self.change({"mirror_url": f"http://****:****@{spelled}"}, "alice/m")
            self.assertEqual(result["mirror_url"], f"http://****:****@{spelled}")
            self.page("demo")
            self.assertEqual(list(self.listed("alice/m", "demo")), ["demo-1.0.tar.gz"])
            self.assertEqual(self.up.log[-1].headers["authorization"], basic("me", "secret")["authorization"])
        self.assertEqual(self.change({"mirror_url": "HTTP://up.example"}, "alice/m")["mirror_url"], "HTTP://up.example")
        answer = self.send("PATCH", "/alice/m", {"mirror_url": "http://****:****@up.example"}, **ALICE)
        self.assertEqual(answer.code, 400)

    def test_a_base_that_is_gone_may_stay(self) -> None:
        self.make("alice/below")
        self.change(["bases+=alice/below"])
        self.assertEqual(self.send("DELETE", "/alice/below", **ALICE).code, 201)
        self.assertEqual(self.change({"title": "x"})["bases"], ["root/pypi", "alice/below"])
        self.assertEqual(list(self.listed("alice/dev", "demo")), ["demo-1.0.tar.gz"])

    def test_what_clients_are_given_follows(self) -> None:
        self.assertEqual(list(self.listed("alice/dev", "demo")), ["demo-1.0.tar.gz"])
        self.change({"bases": ""})
        self.assertEqual(self.simple("alice/dev", "demo").code, 404)


class DeleteTests(StagesCase):
    def test_everything_goes(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        answer = self.send("DELETE", "/alice/dev", **ALICE)
        self.assertEqual((answer.code, answer.json()), (201, {"message": "index alice/dev deleted"}))
        self.assertFalse(self.held("alice/dev", path))
        self.assertEqual(self.get(f"/alice/dev/{path}").code, 404)
        answer = self.send("GET", "/alice/dev")
        self.assertEqual((answer.code, answer.json()["message"]), (404, "The stage alice/dev could not be found."))
        self.make("alice/dev")
        self.assertEqual(self.send("GET", "/alice/dev").json()["result"]["projects"], [])

    def test_with_its_user(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        self.assertEqual(self.send("DELETE", "/alice", **ALICE).code, 200)
        self.assertFalse(self.held("alice/dev", path))

    def test_what_is_refused(self) -> None:
        path = self.have("alice/dev", "own-1.0.tar.gz", b"own")
        for who in (BOB, {}):
            answer = self.send("DELETE", "/alice/dev", **who)
            self.assertEqual(answer.code, 403)
        self.assertEqual(self.send("DELETE", "/alice/none", **ALICE).code, 403)
        self.send("PATCH", "/alice/dev", ["volatile=false"], **ALICE)
        answer = self.send("DELETE", "/alice/dev", **ALICE)
        self.assertEqual((answer.code, answer.json()["message"]), (403, "index alice/dev non-volatile, cannot delete"))
        self.assertTrue(self.held("alice/dev", path))

    def test_a_mirror_loses_its_cache(self) -> None:
        self.make("alice/m", type="mirror", mirror_url="http://up.example/simple/")
        url = self.listed("alice/m", "demo")["demo-1.0.tar.gz"]
        self.assertEqual(self.get(url).body, b"from upstream")
        self.settle()
        key = url.removeprefix("/alice/m/")
        self.assertTrue(self.held("alice/m", key))
        self.assertEqual(self.send("DELETE", "/alice/m", **ALICE).code, 201)
        self.assertFalse(self.held("alice/m", key))
        self.assertEqual(self.successResultOf(self.house.memory.held_in("alice/m")), [])
        self.assertEqual(self.successResultOf(self.house.memory.projects("alice/m")), [])

    def test_an_index_that_this_version_cannot_read_can_be_deleted(self) -> None:
        self.record(IndexSaved(name="alice/odd", options={"type": "of another plugin"}))
        self.assertEqual(self.send("PATCH", "/alice/odd", {"title": "x"}, **ALICE).code, 400)
        self.assertEqual(self.send("DELETE", "/alice/odd", **ALICE).code, 201)
        self.make("alice/odd")
