"""API tokens (contract devpi-features J, contract clients 2.7)."""

from __future__ import annotations

from typing import Any

from tests.ring_one.accounts import AccountsCase, basic, bearer, devpi

YEAR = 365 * 86_400


class TokenTests(AccountsCase):
    """Making, listing and deleting them."""

    def make(self, user: str = "alice", **limits: Any) -> dict[str, Any]:
        answer = self.send("POST", f"/{user}/+token-create", limits, **self.as_(user))
        self.assertEqual((answer.code, answer.json()["type"]), (200, "token-info"), answer.body)
        made: dict[str, Any] = answer.json()["result"]
        return made

    def test_its_text_is_told_once(self) -> None:
        """The ledger has a digest only."""
        made = self.make(indexes=["alice/dev"], allowed="upload,read")
        self.assertRegex(made["token"], f"^pypicache-{made['id']}-[A-Za-z0-9_-]{{43}}$")
        listed = self.send("GET", "/alice/+tokens", **self.as_("alice"))
        self.assertEqual(listed.json()["type"], "tokens-info")
        self.assertEqual(
            listed.json()["result"],
            {
                "user": "alice",
                "tokens": {
                    made["id"]: {
                        "created": 1_700_000_000,
                        "allowed": ["upload", "pkg_read"],
                        "indexes": ["alice/dev"],
                        "expires": 1_700_000_000.0 + YEAR,
                    }
                },
            },
        )
        secret = made["token"].split("-", 2)[2].encode()
        self.stop()
        self.assertNotIn(secret, b"".join(place.read_bytes() for place in self.directory.glob("ledger*")))
        self.start()
        self.assertEqual(self.whoami(**bearer(made["token"])), "alice")

    def test_ways_to_send_it(self) -> None:
        """As Bearer, and as the password of its user, of ``__token__``, or of nobody."""
        token = self.make()["token"]
        for headers in (
            bearer(token), {"authorization": f"token {token}"}, basic("alice", token), basic("__token__", token),
            basic("", token), devpi("alice", token),
        ):  # fmt: skip
            self.assertEqual(self.whoami(**headers), "alice", headers)
        for headers in (basic("bob", token), bearer(token[:-1] + "!"), bearer(token[:-2] + "AA"), basic("alice", "x")):
            self.assertEqual(self.whoami(**headers), "", headers)
        shown = self.send("GET", "/alice/+tokens", **self.as_("alice")).json()["result"]["tokens"]
        self.assertEqual([one["last_used"] for one in shown.values()], [1_700_000_000])

    def test_it_ends(self) -> None:
        """By time, by being deleted, and with its user; not with the password."""
        now = self.clock.seconds()
        short, early, lasting = self.make(expires=now + 60), self.make(not_before=now + 30), self.make()
        self.assertEqual([self.whoami(**bearer(one["token"])) for one in (short, early)], ["alice", ""])
        self.advance(60)
        self.assertEqual([self.whoami(**bearer(one["token"])) for one in (short, early)], ["", "alice"])
        self.send("PATCH", "/alice", {"password": "new"}, **self.as_("alice"))
        self.assertEqual(self.whoami(**bearer(lasting["token"])), "alice")
        me = self.as_("alice", "new")
        answer = self.send("DELETE", f"/alice/+tokens/{lasting['id']}", **me)
        self.assertEqual((answer.code, answer.json()), (200, {"message": f"token '{lasting['id']}' deleted"}))
        self.assertEqual(self.whoami(**bearer(lasting["token"])), "")
        self.assertEqual(self.send("DELETE", f"/alice/+tokens/{lasting['id']}", **me).code, 404)
        self.send("DELETE", "/alice", **me)
        self.send("PUT", "/alice", {"password": "new"})
        self.assertEqual(self.whoami(**bearer(early["token"])), "")

    def test_how_long(self) -> None:
        """A year; more is for root."""
        later = self.clock.seconds() + 2 * YEAR
        for expires in ("never", later):
            refused = self.send("POST", "/alice/+token-create", {"expires": expires}, **self.as_("alice"))
            self.assertEqual(refused.code, 400)
            self.assertIn("at most a year", self.message(refused))
        root = self.root()
        forever = self.send("POST", "/alice/+token-create", {"expires": "never"}, **root).json()["result"]
        self.assertNotIn("expires", forever)
        self.advance(3 * YEAR)
        self.assertEqual(self.whoami(**bearer(forever["token"])), "alice")

    def test_refusals(self) -> None:
        """Limits that cannot be, and people who may not."""
        me = self.as_("alice")
        for asked, said in (
            ({"foo": 1}, "foo is not a limit"),
            ({"allowed": ["user_modify"]}, "'user_modify' is nothing that a token can do"),
            ({"indexes": []}, "expected at least one"),
            ({"indexes": ["alice"]}, "not an index name"),
            ({"projects": ["-"]}, "not a project name"),
            ({"expires": 5}, "in the future"),
            ({"expires": True}, "in the future"),
            ({"expires": "soon"}, "in the future"),
            ({"expires": 1e300}, "in the future"),
        ):
            answer = self.send("POST", "/alice/+token-create", asked, **me)
            self.assertEqual(answer.code, 400, asked)
            self.assertIn(said, self.message(answer))
        made = self.make()
        for headers in ({}, self.as_("bob"), bearer(made["token"])):
            for method, path in (
                ("POST", "/alice/+token-create"), ("GET", "/alice/+tokens"), ("DELETE", f"/alice/+tokens/{made['id']}"),
            ):  # fmt: skip
                answer = self.send(method, path, {} if method == "POST" else None, **headers)
                self.assertEqual(answer.code, 403, (method, path))
        self.assertEqual(self.send("GET", "/nobody/+tokens", **self.root()).code, 404)
        self.assertEqual(self.send("DELETE", f"/bob/+tokens/{made['id']}", **self.as_("bob")).code, 404)

    def test_it_never_touches_accounts(self) -> None:
        """Whatever its limits are, not even the user's own."""
        token = bearer(self.make()["token"])
        self.assertEqual(self.send("PATCH", "/alice", {"password": "x"}, **token).code, 403)
        self.assertEqual(self.send("PATCH", "/alice", {"title": "x"}, **token).code, 403)
        self.assertEqual(self.send("DELETE", "/alice", **token).code, 403)


class UnfitTests(AccountsCase):
    """Tokens that are not good (contract devpi-features J, contract clients 67)."""

    def setUp(self) -> None:
        super().setUp()
        self.index("alice/dev", acl_read=["alice"])
        self.index("alice/open")
        self.index("alice/dark", acl_read=["alice"], conceal=True)
        now = self.clock.seconds()
        self.short, self.early, self.gone = (
            self.send("POST", "/alice/+token-create", limits, **self.as_("alice")).json()["result"]
            for limits in ({"expires": now + 60}, {"not_before": now + 300}, {})
        )
        self.send("DELETE", f"/alice/+tokens/{self.gone['id']}", **self.as_("alice"))
        self.advance(60)

    def test_why_is_said(self) -> None:
        """In the reason phrase as well; and what is right about a token only to those who have all of it."""
        short, early = self.short["token"], self.early["token"]
        for headers, why in (
            (bearer(short), "API token expired"),
            (basic("", short), "API token expired"),
            (devpi("alice", short), "API token expired"),
            (basic("__token__", early), "API token not yet valid"),
            (basic("bob", early), "API token of another user than 'bob'"),
            (bearer(self.gone["token"]), "unknown or deleted API token"),
            (bearer(short[:-2] + ("BB" if short.endswith("A") else "AA")), "unknown or deleted API token"),
            (basic("bob", short[:-2] + ("BB" if short.endswith("A") else "AA")), "unknown or deleted API token"),
            (bearer(short[:-1]), "malformed API token"),
            (basic("__token__", short[:30]), "malformed API token"),
            (basic("alice", "pypicache-"), "malformed API token"),
        ):
            answer = self.get("/alice/dev/+simple/demo/", **headers)
            self.assertEqual((answer.code, answer.header("www-authenticate")), (403, None), why)
            self.assertEqual(answer.body.decode(), f"{why}: user None cannot read 'alice/dev'\n")
        for headers in (bearer("other"), basic("alice", "pypi-AgE"), {}):
            self.assertEqual(self.get("/alice/dev/+simple/demo/", **headers).code, 401)

    def test_everything_that_needs_rights(self) -> None:
        token = bearer(self.short["token"])
        file = "/alice/dev/+f/abc/0123456789abc/demo-1.0.tar.gz"
        push = {"name": "demo", "version": "1.0", "targetindex": "alice/open"}
        for method, path, content in (
            ("GET", "/alice/dev", None), ("GET", file, None), ("GET", "/alice/dev/demo/1.0", None),
            ("GET", "/+authcheck", None), ("DELETE", file, None), ("DELETE", "/alice/dev/demo", None),
            ("PUT", "/alice/new", {}), ("PATCH", "/alice/open", {"title": "x"}), ("DELETE", "/alice/open", None),
            ("PATCH", "/alice", {"title": "x"}), ("PATCH", "/alice", {"password": "x"}), ("DELETE", "/alice", None),
            ("GET", "/alice/+tokens", None), ("POST", "/alice/+token-create", {}), ("PUSH", "/alice/dev", push),
            ("POST", file, {}),
        ):  # fmt: skip
            extra = {"x_original_uri": "/alice/dev/+simple/"} if path == "/+authcheck" else {}
            answer = self.send(method, path, content, accept="application/json", **token, **extra)
            self.assertEqual(answer.code, 403, (method, path, answer.body))
            self.assertIn("API token expired: ", self.message(answer), (method, path))

    def test_what_everybody_may(self) -> None:
        """Is done with it; and what is concealed stays so."""
        token = bearer(self.short["token"])
        self.assertEqual(self.get("/alice/open/+simple/", **token).code, 200)
        self.assertEqual(self.get("/alice/open", accept="application/json", **token).code, 200)
        self.assertEqual(self.whoami(**token), "")
        self.assertEqual(self.send("PUT", "/carol", {"password": "x"}, **token).code, 201)
        for path in ("/alice/dark", "/alice/dark/+simple/demo/", "/alice/none"):
            self.assertEqual(self.get(path, accept="application/json", **token).code, 404, path)

    def test_a_password_may_look_like_one(self) -> None:
        self.send("PATCH", "/alice", {"password": "pypicache-0123"}, **self.as_("alice"))
        self.assertEqual(self.whoami(**basic("alice", "pypicache-0123")), "alice")


class ScopeTests(AccountsCase):
    """What a limited token may read."""

    def reads(self, token: str, index: str) -> int:
        return self.get(f"/{index}", **bearer(token), accept="application/json").code

    def test_its_indexes(self) -> None:
        """Those it names and what is below them, and what everybody may read."""
        self.index("alice/base", acl_read=["alice"])
        self.index("alice/dev", acl_read=["alice"], bases=["alice/base"])
        self.index("alice/other", acl_read=["alice"])
        self.index("alice/open")
        asked = {"indexes": ["alice/dev"]}
        token = self.send("POST", "/alice/+token-create", asked, **self.as_("alice")).json()["result"]["token"]
        self.assertEqual([self.reads(token, f"alice/{name}") for name in ("dev", "base", "open")], [200, 200, 200])
        self.assertEqual(self.reads(token, "alice/other"), 403)

    def test_its_actions_and_projects(self) -> None:
        """A token for uploading does not read; one for a project reads that one only."""
        self.index("alice/dev", acl_read=["alice"])
        me = self.as_("alice")
        upload = self.send("POST", "/alice/+token-create", {"allowed": "upload"}, **me).json()["result"]["token"]
        self.assertEqual(self.reads(upload, "alice/dev"), 403)
        one = self.send("POST", "/alice/+token-create", {"projects": "Demo"}, **me).json()["result"]["token"]
        self.assertEqual(self.get("/alice/dev/+simple/demo/", **bearer(one)).code, 404)
        self.assertEqual(self.get("/alice/dev/+simple/other/", **bearer(one)).code, 403)
        path = "/alice/dev/+f/abc/0123456789abc/"
        self.assertEqual(self.get(path + "demo-1.0.tar.gz", **bearer(one)).code, 404)
        self.assertEqual(self.get(path + "other-1.0.tar.gz", **bearer(one)).code, 403)
