"""Users: made, changed, deleted, and by whom (contract devpi 6 and 2.7)."""

from __future__ import annotations

import re
from typing import Any

from pypicache.core.spec import MirrorSpec
from pypicache.settings import Settings
from tests.ring_one.accounts import AccountsCase, basic
from tests.ring_one.house import UP, HouseCase

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$YWJjZGVmZ2hpamtsbW5vcA"


class CreateTests(AccountsCase):
    """``PUT /USER``."""

    def test_what_is_answered(self) -> None:
        """201, and the user as everybody sees it."""
        answer = self.send("PUT", "/carol", {"password": "pw", "email": "c@x.example", "title": "", "indexes": {}})
        self.assertEqual(answer.code, 201)
        said = answer.json()
        self.assertEqual(said["type"], "userconfig")
        created = said["result"].pop("created")
        self.assertRegex(created, re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"))
        self.assertEqual(said["result"], {"username": "carol", "email": "c@x.example", "indexes": {}})
        self.assertEqual(self.whoami(**basic("carol", "pw")), "carol")
        self.assertNotIn("pwhash", self.get("/carol", accept="application/json").body.decode())
        self.assertNotIn("pwhash", self.get("/", accept="application/json").body.decode())

    def test_refusals(self) -> None:
        """Each has its code and sentence."""
        for name, asked, code, said in (
            ("alice", {"password": "x"}, 409, "user already exists"),
            ("carol", {}, 400, "password needs to be set"),
            ("carol", {"pwhash": HASH}, 400, "password needs to be set"),
            ("carol", {"password": "x", "foo": 1}, 400, "Unknown keys in user config: foo"),
            ("carol", {"password": 5}, 400, "password: expected text"),
            ("carol", {"password": "x" * 5000}, 400, "password: expected at most 4096 characters"),
            ("carol", {"password": "x", "email": ["a"]}, 400, "email = ['a']: expected text"),
            ("ca%24rol", {"password": "x"}, 400, "'ca$rol' is not a user name"),
            ("%20", {"password": "x"}, 400, "' ' is not a user name"),
            ("a%C2%85", {"password": "x"}, 400, "is not a user name"),
            ("x" * 201, {"password": "x"}, 400, "is not a user name"),
            ("carol", [], 400, "expected a JSON object"),
            ("carol", b"{", 400, "could not decode json"),
        ):
            answer = self.send("PUT", f"/{name}", asked)
            self.assertEqual(answer.code, code, answer.body)
            self.assertIn(said, self.message(answer))
        self.assertEqual(sorted(self.house.state.users), ["alice", "bob", "root"])

    def test_names(self) -> None:
        """Letters of every script, and four signs."""
        for quoted in ("a-b.c@d_e", "%C3%A9mile", "%F0%9F%8D%93"):
            self.assertEqual(self.send("PUT", f"/{quoted}", {"password": "x"}).code, 201, quoted)

    def test_a_hash_from_elsewhere(self) -> None:
        """It wins over the password, unless each login with it would cost too much."""
        pwhash = self.house.state.users["bob"]["pwhash"]
        self.assertEqual(self.send("PUT", "/carol", {"password": "x", "pwhash": pwhash}).code, 201)
        self.assertEqual(self.whoami(**basic("carol", "pw-bob")), "carol")
        self.assertEqual(self.whoami(**basic("carol", "x")), "")
        for bad in ("sha256:abc", HASH.replace("m=8", "m=4194304"), HASH.replace("t=1", "t=99"), 5):
            answer = self.send("PUT", "/dave", {"password": "", "pwhash": bad})
            self.assertEqual(answer.code, 400, bad)
            self.assertIn("pwhash: expected", self.message(answer))


class ModifyTests(AccountsCase):
    """``PATCH /USER``."""

    def test_what_the_client_sends(self) -> None:
        """The whole record comes back with the change; what cannot be set is not looked at."""
        me = self.as_("alice")
        before = self.get("/alice", accept="application/json").json()["result"]
        asked = {key: value for key, value in before.items() if key not in {"indexes", "username"}}
        self.advance(60)
        answer = self.send("PATCH", "/alice", asked | {"title": "A", "created": "x", "foo": 1}, **me)
        self.assertEqual((answer.code, answer.json()), (200, {"message": "user updated"}))
        after = self.get("/alice", accept="application/json").json()["result"]
        self.assertNotEqual(after.pop("modified"), before["created"])
        self.assertEqual(after, before | {"title": "A"})

    def test_empty_removes(self) -> None:
        """And what is not mentioned stays."""
        me = self.as_("alice")
        self.send("PATCH", "/alice", {"title": "A", "email": "a@x.example", "custom_data": {"a": [1]}}, **me)
        nothing: tuple[object, ...] = ("", None, [], 0)
        for empty in nothing:
            self.send("PATCH", "/alice", {"title": "A"}, **me)
            self.send("PATCH", "/alice", {"title": empty}, **me)
            shown = self.get("/alice", accept="application/json").json()["result"]
            self.assertNotIn("title", shown)
            self.assertEqual((shown["email"], shown["custom_data"]), ("a@x.example", {"a": [1]}))

    def test_nothing_new_is_no_change(self) -> None:
        """No serial, and no time of change."""
        me = self.as_("alice")
        self.send("PATCH", "/alice", {"title": "A"}, **me)
        serial, record = self.house.ledger.serial, dict(self.house.state.users["alice"])
        self.advance(60)
        self.assertEqual(self.send("PATCH", "/alice", {"title": "A"}, **me).code, 200)
        self.assertEqual((self.house.ledger.serial, dict(self.house.state.users["alice"])), (serial, record))

    def test_a_new_password(self) -> None:
        """The answer has a login token that is good."""
        answer = self.send("PATCH", "/alice", {"password": "new"}, **self.as_("alice"))
        said = answer.json()
        self.assertEqual(
            (answer.code, said["type"], said["message"]), (200, "userpassword", "user updated, new proxy auth")
        )
        self.assertEqual(said["result"]["expiration"], 36000)
        self.assertEqual(self.whoami(**basic("alice", said["result"]["password"])), "alice")
        self.assertEqual(self.whoami(**basic("alice", "new")), "alice")

    def test_by_whom(self) -> None:
        """The user and root; others are told so, and nobody learns who exists."""
        for headers in ({}, self.as_("bob")):
            answer = self.send("PATCH", "/alice", {"title": "x"}, **headers)
            self.assertEqual((answer.code, self.message(answer)), (403, "no permission to modify user alice"))
            answer = self.send("PATCH", "/alice", {"password": "x"}, **headers)
            said = "no permission to change password for user alice"
            self.assertEqual((answer.code, self.message(answer)), (403, said))
            self.assertEqual(self.send("PATCH", "/nobody", {"title": "x"}, **headers).code, 403)
        self.assertEqual(self.send("PATCH", "/alice", {"title": "x"}, **self.root()).code, 200)
        self.assertEqual(self.send("PATCH", "/alice", {"password": "x"}, **self.root()).code, 200)
        missing = self.send("PATCH", "/nobody", {"title": "x"}, **self.root())
        self.assertEqual((missing.code, self.message(missing)), (404, "no user 'nobody'"))


class DeleteTests(AccountsCase):
    """``DELETE /USER``."""

    def test_with_everything(self) -> None:
        """Indexes and tokens go as well."""
        me = self.as_("alice")
        self.index("alice/dev", volatile=True)
        self.send("POST", "/alice/+token-create", {}, **me)
        answer = self.send("DELETE", "/alice", **me)
        self.assertEqual((answer.code, answer.json()), (200, {"message": "user 'alice' deleted"}))
        self.assertEqual((self.get("/alice/dev").code, self.get("/alice").code), (404, 404))
        self.assertEqual(self.house.state.tokens, {})

    def test_refusals(self) -> None:
        """A lasting index protects its user; root stays."""
        self.index("alice/prod", volatile=False)
        self.index("alice/dev", volatile=True)
        answer = self.send("DELETE", "/alice", **self.as_("alice"))
        self.assertEqual((answer.code, self.message(answer)), (403, "user 'alice' has non-volatile index: prod"))
        self.assertEqual(self.get("/alice/dev", accept="application/json").code, 200)
        for user, headers in (("root", self.root()), ("bob", {}), ("bob", self.as_("alice")), ("nobody", {})):
            self.assertEqual(self.send("DELETE", f"/{user}", **headers).code, 403, user)
        self.assertEqual(self.send("DELETE", "/nobody", **self.root()).code, 404)
        self.assertEqual(self.send("DELETE", "/bob", **self.root()).code, 200)


class RestrictedTests(AccountsCase):
    """With ``restrict_modify``."""

    def test_only_those_who_are_named(self) -> None:
        """They do everything; others change their own password and nothing else."""
        self.stop()
        self.start(restrict_modify=["bob"])
        refused = self.send("PUT", "/carol", {"password": "x"})
        self.assertEqual((refused.code, self.message(refused)), (403, "no permission to create user carol"))
        self.assertEqual(self.send("PUT", "/carol", {"password": "x"}, **self.root()).code, 403)
        self.assertEqual(self.send("PUT", "/carol", {"password": "x"}, **self.as_("bob")).code, 201)
        self.assertEqual(self.send("PATCH", "/alice", {"title": "x"}, **self.as_("alice")).code, 403)
        whole = {"password": "new", "title": "x"}
        self.assertEqual(self.send("PATCH", "/alice", whole, **self.as_("alice")).code, 403)
        self.assertEqual(self.send("PATCH", "/alice", {"password": "new"}, **self.as_("alice")).code, 200)
        self.assertEqual(self.send("DELETE", "/bob", **self.as_("bob")).code, 403)
        self.assertEqual(self.send("DELETE", "/alice", **self.as_("bob")).code, 200)


class DeclaredTests(HouseCase):
    """``[users.NAME]``."""

    def settings(self) -> Settings:
        mirror = MirrorSpec.from_options("root/pypi", {"mirror_url": UP})
        users: dict[str, dict[str, Any]] = {"root": {"password": "safe", "email": "r@x.example"}, "dev": {}}
        return Settings(state=self.directory, indexes=(mirror,), users=users)

    def status(self, user: str, password: str) -> str:
        return str(self.get("/+api", **basic(user, password)).json()["result"]["authstatus"][0])

    def test_they_are_made_once(self) -> None:
        """With the password's hash; what a client changed since then stays."""
        self.assertEqual(self.get("/root", accept="application/json").json()["result"]["email"], "r@x.example")
        self.assertNotIn("password", self.house.state.users["root"])
        self.assertTrue(self.house.state.users["root"]["pwhash"].startswith("$argon2id$"))
        self.assertEqual([self.status("root", "safe"), self.status("root", "")], ["ok", "noauth"])
        self.send("PATCH", "/root", {"password": "other"}, **basic("root", "safe"))
        self.send("DELETE", "/dev", **basic("root", "other"))
        self.stop()
        self.start()
        self.assertEqual([self.status("root", "other"), self.status("root", "safe")], ["ok", "noauth"])
        self.assertEqual(self.get("/dev").code, 404)
