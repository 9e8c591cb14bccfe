"""Who is told what happens in an index: checked when it is set, and not for everybody to see."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from pypicache.settings import Settings
from tests.ring_one.accounts import basic
from tests.ring_one.stages import ALICE, BOB, StagesCase

HOOK = "https://hooks.example/services/T0/B0/s3cret?token=s3cret"
JENKINS = "http://ci.example/job/{pkgname}/build?token=s3cret"
SECRET = "wh-secret"  # noqa: S105 -- a secret of this test
KEYS = ("webhook_url", "uploadtrigger_jenkins")


class OptionsTests(StagesCase):
    """``webhook_url``, ``webhook_secret`` and ``uploadtrigger_jenkins`` on the wire."""

    def shown(self, **who: str) -> list[dict[str, Any]]:
        """The options of ``alice/dev`` in all the places that have them."""
        places = [self.send("GET", path, **who) for path in ("/alice/dev?no_projects", "/alice", "/")]
        for place in places:
            assert SECRET.encode() not in place.body
        index, user, users = (place.json()["result"] for place in places)
        return [index, user["indexes"]["dev"], users["alice"]["indexes"]["dev"]]

    def test_who_sees_them(self) -> None:
        """Those who may change them; nobody sees the secret of the webhook."""
        options = {"webhook_url": HOOK, "uploadtrigger_jenkins": JENKINS, "webhook_secret": SECRET}
        answer = self.send("PATCH", "/alice/dev", options, **ALICE)
        wanted = {"webhook_url": HOOK, "uploadtrigger_jenkins": JENKINS}
        for who in (ALICE, basic("root", "")):
            for shown in [answer.json()["result"], *self.shown(**who)]:
                assert {key: shown.get(key) for key in KEYS} == wanted
                assert "webhook_secret" not in shown
        for other in (BOB, {}, basic("alice", "wrong")):
            for shown in self.shown(**other):
                assert not {*KEYS, "webhook_secret"} & set(shown)
                assert shown["type"] == "stage"

    def test_answers_differ(self) -> None:
        """So caches that are shared must not keep them."""
        assert "private" not in (self.send("GET", "/alice/dev").header("cache-control") or "")
        self.send("PATCH", "/alice/dev", {"webhook_url": HOOK}, **ALICE)
        for path in ("/alice/dev", "/alice", "/"):
            assert "private" in (self.send("GET", path).header("cache-control") or "")

    def test_the_client_of_their_owner_sends_them_back(self) -> None:
        """What it was given, with one thing changed; the secret that it was not given stays."""
        self.send("PATCH", "/alice/dev", {"webhook_url": HOOK, "webhook_secret": SECRET}, **ALICE)
        given = self.send("GET", "/alice/dev?no_projects", **ALICE).json()["result"]
        assert self.send("PATCH", "/alice/dev", {**given, "title": "New"}, **ALICE).code == 200
        assert self.send("PATCH", "/alice/dev", ["title=Newer"], **ALICE).json()["result"]["webhook_url"] == HOOK
        assert self.house.state.specs["alice/dev"].stored()["webhook_secret"] == SECRET

    def test_they_are_unset(self) -> None:
        """By all the ways of the client."""
        for way in ({"webhook_url": None}, {"webhook_url": ""}, ["webhook_url="], ["webhook_url-="]):
            self.send("PATCH", "/alice/dev", {"webhook_url": HOOK}, **ALICE)
            answer = self.send("PATCH", "/alice/dev", way, **ALICE)
            assert (answer.code, answer.json()["result"].get("webhook_url") or None) == (200, None), way

    def test_what_is_refused(self) -> None:
        """When it is set, with the name of the option and what was expected; nothing is changed."""
        web = "expected a URL that begins with http:// or https://"
        own = "this address is in a private network, which is not allowed here"
        for key in KEYS:
            for value, why in (
                (5, "expected a URL"), (False, "expected a URL"), ([], "expected a URL"), ("hooks.example/told", web),
                ("ftp://hooks.example/", web), ("file:///etc/passwd", web), ("http://", web), ("http://x:99999/", web),
                ("http://hooks.example/to ld", web),
                ("http://me:s3cret@hooks.example/", "expected no credentials in it"),
                ("http://localhost:8080/", own), ("http://127.1/", own), ("http://10.0.0.1/", own),
                ("http://[::1]/", own), ("http://169.254.169.254/latest", own),
            ):  # fmt: skip
                for method, path in (("PATCH", "/alice/dev"), ("PUT", "/alice/new")):
                    answer = self.send(method, path, {key: value}, **ALICE)
                    message = answer.json()["message"]
                    assert (answer.code, message.endswith(why)) == (400, True), (key, value, message)
                    assert message.startswith(f"{key} = ")
                    assert "s3cret" not in message
        assert self.send("PATCH", "/alice/dev", {"webhook_secret": 5}, **ALICE).code == 400
        assert not {*KEYS, "webhook_secret"} & set(self.shown(**ALICE)[0])
        assert self.send("GET", "/alice/new").code == 404

    def test_one_that_is_there_may_stay(self) -> None:
        """An older version took it, or the configuration was changed since."""
        self.index("alice/old", webhook_url="http://localhost/")
        assert self.send("PATCH", "/alice/old", {"title": "New"}, **ALICE).code == 200
        assert self.send("PATCH", "/alice/old", {"webhook_url": "http://localhost/2"}, **ALICE).code == 400


class PrivateNetworksTests(StagesCase):
    """``private_networks`` is set."""

    def settings(self) -> Settings:
        return evolve(super().settings(), private_networks=True)

    def test_private_networks_are_told(self) -> None:
        """They may be set then."""
        answer = self.send("PATCH", "/alice/dev", {"webhook_url": "http://10.0.0.1:8080/job"}, **ALICE)
        assert answer.code == 200
