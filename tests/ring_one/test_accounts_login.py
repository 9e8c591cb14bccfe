"""Credentials: passwords, login tokens, who comes from where (contract devpi 2.1 to 2.5)."""

from __future__ import annotations

import stat
from unittest import mock

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred

from pypicache.core.errors import BadInput
from tests.ring_one.accounts import FAR, AccountsCase, basic, bearer, devpi

APPLICATION_JSON = "application/json"


class LoginTests(AccountsCase):
    """``POST /+login``."""

    def test_a_token_for_a_password(self) -> None:
        """The answer has the shape that the devpi client stores."""
        answer = self.send("POST", "/+login", {"user": "alice", "password": "pw-alice"})
        self.assertEqual((answer.code, answer.header("content-type")), (200, APPLICATION_JSON))
        said = answer.json()
        self.assertEqual(list(said), ["result", "type", "message"])
        self.assertEqual((said["type"], said["message"]), ("proxyauth", "login successful"))
        self.assertEqual(list(said["result"]), ["password", "expiration"])
        self.assertEqual(said["result"]["expiration"], 36000)
        self.assertTrue(said["result"]["password"].isascii())
        self.assertIn("private", answer.header("cache-control") or "")

    def test_refusals(self) -> None:
        """Wrong, incomplete and unreadable questions each have their code and sentence."""
        wrong = self.send("POST", "/+login", {"user": "alice", "password": "pw-bob"})
        self.assertEqual((wrong.code, self.message(wrong)), (401, "user 'alice' could not be authenticated"))
        self.assertIsNone(wrong.header("www-authenticate"))
        self.assertIsNone(wrong.header("location"))
        unknown = self.send("POST", "/+login", {"user": "nobody", "password": "x"})
        self.assertEqual((unknown.code, self.message(unknown)), (401, "user 'nobody' could not be authenticated"))
        for asked in ({"user": "alice"}, {"password": "x"}, {}, {"user": ["alice"], "password": "x"}):
            answer = self.send("POST", "/+login", asked)
            self.assertEqual((answer.code, self.message(answer)), (400, "Bad request: no user/password specified"))
        broken = self.send("POST", "/+login", b"{nonsense")
        self.assertEqual((broken.code, self.message(broken)), (400, "Bad request: could not decode json"))
        self.assertEqual(self.send("POST", "/+login", [1]).code, 400)

    def test_it_makes_no_serial(self) -> None:
        """Logging in changes nothing that is recorded."""
        before = self.house.ledger.serial
        self.login("alice")
        self.assertEqual(self.house.ledger.serial, before)


class CredentialTests(AccountsCase):
    """The headers of a request."""

    def test_each_way(self) -> None:
        """Password and token, by both headers."""
        token = self.login("alice")
        for secret in ("pw-alice", token):
            self.assertEqual(self.whoami(**basic("alice", secret)), "alice")
            self.assertEqual(self.whoami(**devpi("alice", secret)), "alice")
        status = self.get("/+api", **devpi("alice", token)).json()["result"]["authstatus"]
        self.assertEqual(status, ["ok", "alice", []])
        self.assertEqual(self.get("/+api").json()["result"]["authstatus"], ["noauth", "", []])

    def test_wrong_credentials_are_those_of_nobody(self) -> None:
        """No error comes of them, and another user's token is wrong."""
        token = self.login("alice")
        for headers in (
            basic("alice", "wrong"),
            basic("bob", token),
            basic("nobody", "x"),
            basic("", "pw-alice"),
            basic("__token__", token),
            basic("alice", token[:-1]),
            basic("alice", token[:-4] + "é€"),
            bearer("pw-alice"),
            {"authorization": "Basic"},
            {"authorization": "Basic ###"},
            {"authorization": "Digest abc"},
        ):
            answer = self.get("/+api", **headers)
            self.assertEqual((answer.code, answer.json()["result"]["authstatus"]), (200, ["noauth", "", []]), headers)

    def test_the_header_of_devpi_wins(self) -> None:
        """It is used even if it is wrong; only one that cannot be read is passed over."""
        right = basic("alice", "pw-alice")
        self.assertEqual(self.whoami(**right, **devpi("bob", "wrong")), "")
        self.assertEqual(self.whoami(**right, x_devpi_auth="###"), "alice")
        self.assertEqual(self.whoami(**right, **devpi("bob", "pw-bob")), "bob")

    def test_colons_and_latin_1(self) -> None:
        """The first colon divides; bytes that are not UTF-8 are latin-1."""
        self.send("PATCH", "/bob", {"password": "a:b:é"}, **basic("bob", "pw-bob"))
        self.assertEqual(self.whoami(**basic("bob", "a:b:é")), "bob")
        self.assertEqual(self.whoami(authorization="Basic Ym9iOmE6Yjrp"), "bob")

    def test_a_token_ends(self) -> None:
        """After ten hours, with another password, and with the user."""
        token = self.login("alice")
        self.advance(35_999)
        self.assertEqual(self.whoami(**devpi("alice", token)), "alice")
        self.advance(1)
        self.assertEqual(self.whoami(**devpi("alice", token)), "")
        token = self.login("alice")
        self.send("PATCH", "/alice", {"password": "new"}, **devpi("alice", token))
        self.assertEqual(self.whoami(**devpi("alice", token)), "")
        token = self.login("alice", "new")
        self.send("DELETE", "/alice", **devpi("alice", token))
        self.assertEqual(self.whoami(**devpi("alice", token)), "")
        self.advance(60)
        self.send("PUT", "/alice", {"password": "new"})
        self.assertEqual(self.whoami(**devpi("alice", token)), "")

    def test_an_old_password_is_forgotten_at_once(self) -> None:
        """What was checked a moment ago does not outlive the password."""
        self.assertEqual(self.whoami(**basic("alice", "pw-alice")), "alice")
        self.send("PATCH", "/alice", {"password": "new"}, **basic("alice", "pw-alice"))
        self.assertEqual(self.whoami(**basic("alice", "pw-alice")), "")
        self.assertEqual(self.whoami(**basic("alice", "new")), "alice")

    def test_a_password_is_not_hashed_for_each_request(self) -> None:
        """Neither a right one nor a wrong one."""
        with mock.patch.object(PasswordHasher, "verify", autospec=True, side_effect=PasswordHasher.verify) as verify:
            for _ in range(5):
                self.assertEqual(self.whoami(**basic("alice", "pw-alice")), "alice")
                self.assertEqual(self.whoami(**basic("alice", "wrong")), "")
            self.assertEqual(verify.call_count, 2)
            self.advance(300)
            self.assertEqual(self.whoami(**basic("alice", "pw-alice")), "alice")
            self.assertEqual(verify.call_count, 3)

    def test_public_answers_do_not_look_at_credentials(self) -> None:
        """Reading what everybody may read costs no hash, and caches may share it."""
        self.up.pages["/simple/demo/"] = {"meta": {"api-version": "1.0"}, "name": "demo", "files": []}
        with mock.patch.object(PasswordHasher, "verify", autospec=True) as verify:
            answer = self.page("demo", **basic("alice", "guess"))
        self.assertEqual((answer.code, verify.call_count), (200, 0))
        self.assertIn("public", answer.header("cache-control") or "")


class GuessingTests(AccountsCase):
    """Wrong passwords."""

    def guess(self, number: int, user: str = "alice", **headers: str) -> int:
        return self.send("POST", "/+login", {"user": user, "password": f"guess-{number}"}, **headers).code

    def test_guesses_become_slow(self) -> None:
        """After three of them the right password has to wait as well, longer each time."""
        self.assertEqual([self.guess(n) for n in range(4)], [401, 401, 401, 429])
        right = {"user": "alice", "password": "pw-alice"}
        refused = self.send("POST", "/+login", right)
        self.assertEqual((refused.code, refused.header("retry-after")), (429, "2"))
        self.assertEqual(self.get("/+api", **basic("alice", "pw-alice")).code, 429)
        self.advance(2)
        self.assertEqual(self.guess(5), 401)
        self.assertEqual(self.send("POST", "/+login", right).header("retry-after"), "4")
        self.advance(4)
        self.assertEqual(self.send("POST", "/+login", right).code, 200)
        self.assertEqual([self.guess(n) for n in range(10, 14)], [401, 401, 401, 429])

    def test_the_wait_has_a_bound(self) -> None:
        """A minute at most."""
        for number in range(20):
            self.guess(number)
            self.advance(60)
        self.guess(30)
        self.assertEqual(self.send("POST", "/+login", {"user": "alice", "password": "x"}).header("retry-after"), "60")

    def test_others_do_not_wait(self) -> None:
        """Neither another user, nor the same one at another address; and the same wrong password counts once."""
        for _ in range(10):
            self.assertEqual(self.send("POST", "/+login", {"user": "alice", "password": "old"}).code, 401)
        for number in range(5):
            self.guess(number)
        self.assertEqual(self.guess(6), 429)
        self.assertEqual(self.guess(7, "bob"), 401)
        self.assertEqual(self.guess(8, x_real_ip="198.51.100.7"), 401)
        self.login("alice", x_real_ip="2001:db8::1")

    def test_an_address_of_the_same_network_is_the_same(self) -> None:
        """A client chooses the last 64 bits of its IPv6 address itself."""
        codes = [self.guess(n, x_real_ip=f"2001:db8::{n}") for n in range(4)]
        self.assertEqual(codes, [401, 401, 401, 429])
        self.assertEqual(self.guess(9, x_real_ip="2001:db8:0:1::1"), 401)


class EmptyPasswordTests(AccountsCase):
    """An account without a password."""

    def test_only_from_this_machine(self) -> None:
        """Whatever says that somebody else is behind the connection makes the empty password wrong."""
        self.assertEqual(self.whoami(**basic("root", "")), "root")
        for name in ("x_forwarded_for", "x_forwarded_proto", "forwarded", "x_real_ip", "via"):
            self.assertEqual(self.whoami(**basic("root", ""), **{name: "127.0.0.1"}), "", name)
            answer = self.send("POST", "/+login", {"user": "root", "password": ""}, **{name: "127.0.0.1"})
            self.assertEqual(answer.code, 401, name)
        self.assertEqual(self.whoami(**basic("root", ""), x_outside_url="http://127.0.0.1"), "")
        self.assertEqual(self.whoami(**basic("root", "x")), "")

    def test_a_page_from_elsewhere(self) -> None:
        """A browser that was lured here asks for whoever wrote the page; one that was told our name does not."""
        for browser in ({"origin": "http://evil.example"}, {"user_agent": "Mozilla/5.0"}):
            for host, who in (("evil.example", ""), ("[evil", ""), ("localhost:3141", "root"), ("[::1]:3141", "root")):
                self.assertEqual(self.whoami(**basic("root", ""), **browser, host=host), who, (browser, host))

    def test_a_hash_of_the_empty_password(self) -> None:
        """It is as good as none."""
        pwhash = self.successResultOf(self.hashed(""))
        self.account("carol", pwhash=pwhash)
        self.assertEqual(self.whoami(**basic("carol", "")), "carol")
        self.assertEqual(self.whoami(**basic("carol", ""), **FAR), "")

    def test_a_password_ends_it(self) -> None:
        """Once there is one, the empty one is wrong, and so are its tokens."""
        token = self.login("root", "")
        self.assertEqual(self.send("PATCH", "/root", {"password": "safe"}, **devpi("root", token)).code, 200)
        self.assertEqual(self.whoami(**basic("root", "")), "")
        self.assertEqual(self.whoami(**devpi("root", token)), "")
        self.assertEqual(self.whoami(**basic("root", "safe"), **FAR), "root")

    def hashed(self, password: str) -> Deferred[str]:
        return Deferred.fromCoroutine(self.house.accounts.passwords.hashed(password))


class SecretTests(AccountsCase):
    """The key that signs login tokens."""

    def test_it_outlives_a_restart(self) -> None:
        """It is made at the first start, for its owner only."""
        token = self.login("alice")
        place = self.directory / "secret"
        self.assertEqual(stat.S_IMODE(place.stat().st_mode), 0o600)
        self.stop()
        self.start()
        self.assertEqual(self.whoami(**devpi("alice", token)), "alice")
        place.unlink()
        self.stop()
        self.start()
        self.assertEqual(self.whoami(**devpi("alice", token)), "")

    def test_a_file_of_the_operator(self) -> None:
        """It is used in place of our own, and refused if it is no secret."""
        place = self.directory / "key"
        place.write_bytes(b"0123456789abcdef0123456789abcdef")
        with self.assertRaisesRegex(BadInput, "mode 0600"):
            self.start(secret_file=place)
        place.chmod(0o600)
        self.start(secret_file=place)
        token = self.login("alice")
        self.stop()
        (self.directory / "secret").unlink()
        self.start(secret_file=place)
        self.assertEqual(self.whoami(**devpi("alice", token)), "alice")
        self.stop()
        self.assertFalse((self.directory / "secret").exists())
        for content in (b"short", b"aaaa" * 20):
            place.write_bytes(content)
            with self.assertRaisesRegex(BadInput, "at least 32 bytes"):
                self.start(secret_file=place)
        place.write_bytes(b"0123456789abcdef0123456789abcdef")
        self.directory.chmod(0o777)
        with self.assertRaisesRegex(BadInput, "only its owner"):
            self.start(secret_file=place)
        with self.assertRaisesRegex(BadInput, "No such file"):
            self.start(secret_file=self.directory / "none")
        self.directory.chmod(0o700)
        self.start(secret_file=place)
