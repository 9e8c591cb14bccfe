"""Uploads that are refused before their body is taken in, too large, or broken off (conformance 66 and 67)."""

from __future__ import annotations

from typing import Any, ClassVar

from pypicache.core.changes import IndexGone
from pypicache.ledger.ledger import Decision, Recorded
from pypicache.web import bodies, forms
from tests.ring_one.accounts import basic
from tests.ring_one.publishing import Dist, PublishCase, Sender, chunk, digests, head, multipart, plain, wheel

LARGE = 5 * 2**20


class DoorTests(PublishCase):
    """Who may not upload hears so at once, and can read it (conformance 67)."""

    options: ClassVar[Any] = {"acl_upload": ["team"], "volatile": False}

    def test_67_nobody_is_asked_to_log_in_before_the_body(self) -> None:
        client = self.sender(head(LARGE))
        self.assertEqual(client.status, 401)
        self.assertIn(b'WWW-Authenticate: Basic realm="pypicache"', client.received)
        self.assertIn(b"Connection: close", client.received)
        self.assertFalse(client.closed, "whoever still sends would not read the answer")
        self.assertEqual(self.spooled(), [])

    def test_67_the_body_is_drained_and_the_connection_closed(self) -> None:
        client = self.sender(head(LARGE))
        said = client.received
        self.more(client, b"x" * (LARGE - 1))
        self.assertFalse(client.closed)
        self.more(client, b"x")
        self.assertTrue(client.closed)
        self.assertEqual(client.received, said)
        self.assertEqual(self.spooled(), [])
        self.assertTrue(self.logged("POST", "/team/dev/", "401"))

    def test_67_draining_has_an_end(self) -> None:
        self.patch(bodies, "DRAINED", 2**20)
        client = self.sender(head(LARGE), b"x" * 2**20)
        self.assertFalse(client.closed)
        self.more(client, b"x")
        self.assertTrue(client.closed)

    def test_67_wrong_credentials_are_none(self) -> None:
        self.account("bob")
        client = self.sender(head(LARGE, **basic("bob", "wrong")))
        self.assertEqual(client.status, 401)

    def test_67_who_may_not_is_told_whom(self) -> None:
        client = self.sender(head(LARGE, **self.account("bob")))
        self.assertEqual(client.status, 403)
        self.assertIn(b"bob cannot upload to 'team/dev'", client.received.split(b"\r\n")[0])

    def test_67_a_small_body_leaves_the_connection_open(self) -> None:
        body = multipart(plain(wheel()), wheel())
        client = self.sender(head(len(body)) + body)
        self.assertEqual(client.status, 401)
        self.assertFalse(client.closed)
        before = len(client.received)
        self.more(client, b"GET /+health/live HTTP/1.1\r\nHost: cache.example\r\n\r\n")
        self.assertIn(b"200 OK", client.received[before:])

    def test_nobody_is_told_to_go_on_who_is_refused(self) -> None:
        client = self.sender(head(LARGE, expect="100-continue"))
        self.assertEqual(client.status, 401)
        self.assertNotIn(b"100 Continue", client.received)

    def test_who_may_is_told_to_go_on(self) -> None:
        client = self.sender(head(LARGE, expect="100-continue", **self.account("team")))
        self.assertEqual(client.received, b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_who_may_uploads(self) -> None:
        self.assertEqual(self.upload(wheel(), None, **self.account("team")).code, 200)
        self.assertEqual(self.stored()[0].log[0]["who"], "team")

    def test_an_index_that_is_not_there(self) -> None:
        self.assertEqual(self.sender(head(LARGE, "/team/none/")).status, 404)

    def test_a_mirror_takes_no_uploads(self) -> None:
        client = self.sender(head(LARGE, "/root/pypi/"))
        self.assertEqual(client.status, 404)
        self.assertIn(b"404 cannot submit to mirror index\r\n", client.received)


class SizeTests(PublishCase):
    """Bodies have a limit, and memory is not where they are (conformance 66)."""

    def test_a_length_beyond_the_limit_is_refused_at_once(self) -> None:
        client = self.sender(head(2**30 + 2**24))
        self.assertEqual(client.status, 413)
        self.assertIn(b"max_upload_size", client.received)

    def test_a_body_without_length_is_refused_when_it_passes_the_limit(self) -> None:
        self.start(max_upload_size=100_000)
        dist = Dist("demo-1.0-py3-none-any.whl", bytes(200_000))
        body = multipart(plain(dist), dist)
        client = self.sender(head(None), chunk(body[:50_000]))
        self.assertIsNone(client.status)
        self.more(client, chunk(body[50_000:150_000]))
        self.assertEqual(client.status, 413)
        self.assertEqual(self.spooled(), [])
        self.more(client, chunk(body[150_000:]), b"0\r\n\r\n")
        self.assertTrue(client.closed)
        self.assert_clean()

    def test_a_body_in_chunks_is_taken(self) -> None:
        dist = wheel()
        body = multipart([*plain(dist), *digests(dist, "sha256")], dist)
        pieces = [chunk(body[at : at + 77]) for at in range(0, len(body), 77)]
        client = self.sender(head(None), *pieces, b"0\r\n\r\n")
        self.assertEqual(client.status, 200)
        self.assertEqual(self.listing()[0]["hashes"], {"sha256": dist.sha256})

    def test_byte_by_byte(self) -> None:
        dist = wheel()
        body = multipart([*plain(dist), *digests(dist, "sha256")], dist)
        client = self.sender(head(len(body)))
        for at in range(len(body)):
            client.send(body[at : at + 1])
            if at % 100 == 0:
                self.settle()
        self.settle()
        self.assertEqual(client.status, 200)
        self.assertEqual(self.get(self.listing()[0]["url"]).body, dist.content)

    def test_the_spool_is_brought_to_disk_while_it_grows(self) -> None:
        self.patch(forms, "SYNCED", 1000)
        dist = wheel(size=50_000)
        self.assertEqual(self.upload(dist).code, 200)
        self.assertEqual(self.get(self.listing()[0]["url"]).body, dist.content)

    def test_texts_have_a_limit_of_their_own(self) -> None:
        dist = wheel()
        body = multipart([*plain(dist), ("description", "x" * (forms.MOST_TEXT + 1))], dist)
        client = self.sender(head(len(body)), body)
        self.assertEqual(client.status, 413)
        self.assert_clean()


class ChangedMeanwhileTests(PublishCase):
    """What was found out by the headers does not outlast a change of accounts or indexes."""

    def begun(self, **headers: str) -> tuple[Sender, bytes]:
        """An upload of which one half is here, and its other half."""
        body = multipart(plain(wheel()), wheel())
        half = len(body) // 2
        return self.sender(head(len(body), **headers), body[:half]), body[half:]

    def test_uploading_is_for_others_now(self) -> None:
        sender, rest = self.begun()
        self.make("team/dev", acl_upload=["team"])
        self.more(sender, rest)
        self.assertEqual(sender.status, 401)
        self.assert_clean()

    def test_there_is_no_such_index_any_more(self) -> None:
        sender, rest = self.begun()
        self.house.ledger.tell(self.recorded(IndexGone(name="team/dev")))
        self.more(sender, rest)
        self.assertEqual(sender.status, 404)
        self.assert_clean()

    def recorded(self, change: IndexGone) -> Recorded:
        """Record a change without telling anybody."""
        recorded, _ = self.house.ledger.change_now(lambda _: Decision([change], None))
        assert recorded is not None
        return recorded

    def test_another_password(self) -> None:
        self.make("team/dev", acl_upload=["team"])
        team = self.account("team")
        sender, rest = self.begun(**team)
        self.assertEqual(self.send("PATCH", "/team", {"password": "another-1"}, **team).code, 200)
        self.more(sender, rest)
        self.assertEqual(sender.status, 401)
        self.assert_clean()


class BrokenOffTests(PublishCase):
    """A client that leaves leaves nothing."""

    def test_an_upload_that_is_broken_off(self) -> None:
        dist = wheel(size=300_000)
        body = multipart(plain(dist), dist)
        before = self.descriptors()
        client = self.sender(head(len(body)), body[:200_000])
        self.assertEqual(len(self.spooled()), 1)
        client.leave()
        self.settle()
        self.assert_clean()
        self.assertLessEqual(self.descriptors(), before + 1)

    def test_a_form_that_is_cut_off(self) -> None:
        dist = wheel()
        body = multipart(plain(dist), dist)[:-40]
        client = self.sender(head(len(body)), body)
        self.assertEqual(client.status, 400)
        self.assert_clean()

    def test_a_disk_that_takes_nothing(self) -> None:
        spool = self.directory / "spool"
        spool.rmdir()
        spool.write_text("in the way")
        self.assertEqual(self.upload(wheel()).code, 507)
        spool.unlink()
        spool.mkdir()
        self.assertEqual(self.upload(wheel()).code, 200)
