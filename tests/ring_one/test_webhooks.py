"""Webhooks and build triggers: told after the commit, again and again if need be, and in nobody's way."""

from __future__ import annotations

import hmac
import json
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.web.server import Request
from zope.interface import implementer

from pypicache.core.changes import FileGone, IndexGone, IndexSaved, ReleaseGone, ReleaseSaved, UserSaved
from pypicache.ledger.ledger import Decision
from pypicache.ledger.outbox import Queue, waiting
from tests.ring_one.shelved import UPLOADED, ShelvedCase

DEV = "alice/dev"
HOOK = "http://hooks.example/told"


@frozen
class Told:
    """One request that reached the hook."""

    path: str
    content_type: str | None
    signature: str | None
    delivery: str | None
    body: bytes


class WebhookTests(ShelvedCase):
    """``webhook_url``, ``webhook_secret`` and ``uploadtrigger_jenkins``."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[Told] = []
        self.codes: list[int] = []
        self.stage(DEV, webhook_url=HOOK)
        for path in ("/told", "/told2", "/job/a/1.0%2Bx/build"):
            self.up.special[path] = self.receive

    def receive(self, request: Request) -> bytes:
        """The one who wants to know."""
        assert request.content is not None
        told = Told(
            path=request.uri.decode(),
            content_type=request.getHeader("content-type"),
            signature=request.getHeader("x-pypicache-signature"),
            delivery=request.getHeader("x-pypicache-delivery"),
            body=request.content.read(),
        )
        self.told.append(told)
        request.setResponseCode(self.codes.pop(0) if self.codes else 204)
        return b""

    def bodies(self) -> list[Any]:
        """What was told."""
        self.settle()
        return [json.loads(told.body) for told in self.told]

    def test_a_file_came(self) -> None:
        """The index, the serial, and what happened."""
        saved = self.file(DEV, "a", "1.0", "a-1.0.tar.gz", b"sdist")
        assert self.bodies() == [
            {
                "index": DEV,
                "serial": self.house.ledger.serial,
                "changes": [
                    {
                        "event": "file", "kind": "releasefile", "project": "a", "version": "1.0",
                        "name": "a-1.0.tar.gz", "path": saved.path, "sha256": saved.hashes["sha256"], "size": 5,
                        "yanked": False, "log": [UPLOADED],
                    }
                ],
            }
        ]  # fmt: skip
        [told] = self.told
        assert told.content_type == "application/json"
        assert told.signature is None
        assert told.delivery == f"{DEV}/{self.house.ledger.serial}"

    def test_what_else_happens(self) -> None:
        """Releases, deletions; one message for what was recorded together."""
        self.release(DEV, "a", "1.0")
        self.record(
            FileGone(index=DEV, path="+f/abc/0123456789abc/a-1.0.tar.gz"),
            ReleaseGone(index=DEV, project="a", version="1.0"),
        )
        assert [body["changes"] for body in self.bodies()] == [
            [{"event": "release", "project": "a", "version": "1.0"}],
            [
                {"event": "file-deleted", "name": "a-1.0.tar.gz", "path": "+f/abc/0123456789abc/a-1.0.tar.gz"},
                {"event": "release-deleted", "project": "a", "version": "1.0"},
            ],
        ]

    def test_what_is_nobodys_business(self) -> None:
        """Other indexes, accounts, the options of the index itself."""
        self.stage("alice/other")
        self.release("alice/other", "a", "1.0")
        self.record(UserSaved(name="bob", record={}))
        self.stage(DEV, webhook_url=HOOK, title="New")
        assert self.bodies() == []

    def test_a_push_tells_the_target(self) -> None:
        """Not only uploads count."""
        self.stage("alice/from")
        self.release("alice/from", "a", "1.0")
        self.file("alice/from", "a", "1.0", "a-1.0.tar.gz", b"sdist")
        order = {"name": "a", "version": "1.0", "targetindex": DEV}
        assert self.send("PUSH", "/alice/from", order).code == 200
        assert [change["event"] for change in self.bodies()[0]["changes"]] == ["release", "file"]

    def test_a_signature(self) -> None:
        """Whoever knows the secret can check who sent it."""
        self.stage(DEV, webhook_url=HOOK, webhook_secret="sésame")  # noqa: S106 -- a secret of this test
        self.release(DEV, "a", "1.0")
        self.settle()
        [told] = self.told
        assert told.signature == "sha256=" + hmac.new("sésame".encode(), told.body, "sha256").hexdigest()

    # -- when it does not work -------------------------------------------------------------------------------------

    def test_it_is_tried_again(self) -> None:
        """After longer and longer pauses, under the same name; what comes later waits for its turn."""
        self.codes = [500, 404, 302, 204]
        self.release(DEV, "a", "1.0")
        self.release(DEV, "b", "1.0")
        self.settle()
        tries = []
        for wait in (5, 30, 120):
            tries.append(len(self.told))
            self.advance(wait - 1)
            assert len(self.told) == tries[-1], "too early"
            self.advance(1)
        assert tries == [1, 2, 3]
        assert len({told.delivery for told in self.told[:4]}) == 1
        assert len({told.body for told in self.told[:4]}) == 1
        assert [body["changes"][0]["project"] for body in self.bodies()[3:]] == ["a", "b"]

    def test_it_is_given_up(self) -> None:
        """When it is a day old, and logged; the next message has its own chance."""
        self.codes = [500] * 100
        self.release(DEV, "a", "1.0")
        self.settle()
        for wait in (5, 30, 120, 600, *[3600] * 22):
            self.advance(wait)
        assert len(self.told) == 1 + 4 + 22
        self.advance(100_000)
        assert len(self.told) == 1 + 4 + 22 + 1
        self.advance(100_000)
        assert len(self.told) == 1 + 4 + 22 + 1
        self.codes = []
        self.release(DEV, "b", "1.0")
        assert self.bodies()[-1]["changes"][0]["project"] == "b"
        assert self.left() == []

    def test_nobody_waits_for_it(self) -> None:
        """The client has its answer while the hook has not said anything."""
        self.up.gate = Deferred()
        self.stage("alice/from")
        self.release("alice/from", "a", "1.0")
        self.file("alice/from", "a", "1.0", "a-1.0.tar.gz", b"sdist")
        order = {"name": "a", "version": "1.0", "targetindex": DEV}
        assert self.send("PUSH", "/alice/from", order).code == 200
        assert self.told == []
        self.up.gate.callback(None)
        assert len(self.bodies()) == 1

    def test_the_index_is_told_elsewhere_now(self) -> None:
        """An address was wrong, and was corrected: what could not be delivered goes to the new one."""
        self.codes = [404]
        self.release(DEV, "a", "1.0")
        self.settle()
        self.stage(DEV, webhook_url=HOOK + "2")
        self.release(DEV, "b", "1.0")
        self.advance(5)
        assert [told.path for told in self.told] == ["/told", "/told2", "/told2"]

    def test_nobody_wants_to_know_any_more(self) -> None:
        """What waited is forgotten, also when somebody wants to know again later; and with the index."""
        for farewell in (IndexSaved(name=DEV, options={"type": "stage"}), IndexGone(name=DEV)):
            self.codes = [500]
            self.release(DEV, "a", "1.0")
            self.settle()
            self.record(farewell)
            assert self.left() == []
            self.stage(DEV, webhook_url=HOOK)
            count = len(self.told)
            self.advance(100_000)
            assert len(self.told) == count

    # -- the daemon ends -------------------------------------------------------------------------------------------

    def test_the_daemon_ends(self) -> None:
        """Without waiting for anybody; what was not delivered is delivered when it starts again."""
        self.codes = [500, 503]
        self.release(DEV, "a", "1.0")
        self.release(DEV, "b", "1.0")
        self.settle()
        self.stop()
        self.advance(5)
        assert len(self.told) == 1
        self.start_again()
        assert len(self.told) == 2, "at once"
        self.advance(5)
        assert [body["changes"][0]["project"] for body in self.bodies()] == ["a", "a", "a", "b"]
        assert self.told[0] == self.told[1] == self.told[2]
        assert self.left() == []

    def test_the_daemon_is_killed(self) -> None:
        """While the hook has yet to answer."""
        self.up.gate = Deferred()
        self.release(DEV, "a", "1.0")
        self.settle()
        assert self.told == []
        self.up.gate = None
        self.start_again()
        assert [body["changes"][0]["project"] for body in self.bodies()] == ["a"]
        self.start_again()
        assert len(self.told) == 1, "what was delivered is not delivered again"

    def test_killed_between_commit_and_listeners(self) -> None:
        """The note is part of the transaction."""
        release = ReleaseSaved(index=DEV, project="a", version="1.0", metadata={})
        self.house.ledger.change_now(lambda connection: Decision([release], None))
        self.start_again()
        assert [body["changes"][0]["project"] for body in self.bodies()] == ["a"]

    def start_again(self) -> None:
        """Start the daemon, as after a kill; nothing that the old one had begun goes on."""
        now = self.clock.seconds()
        self.clock = Clock()
        self.clock.advance(now)
        self.start().hooks.start()
        self.settle()

    def left(self) -> list[Queue]:
        """What is still to be told."""
        self.settle()
        return self.house.ledger.read_now(waiting)

    def test_addresses_that_are_not_asked(self) -> None:
        """What is no web page, and what is in a private network."""
        events: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            events.append(str(event.get("why", "")))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for url in ("file:///etc/passwd", "gopher://hooks.example/told", "http://127.0.0.1/told", "told"):
            self.stage(DEV, webhook_url=url)
            self.release(DEV, "a", url.replace("/", "."))
        self.settle()
        assert self.told == []
        assert len([why for why in events if why.startswith("URL = ")]) == 4

    # -- build triggers --------------------------------------------------------------------------------------------

    def test_a_build_is_triggered(self) -> None:
        """Once per release to which files came, with its name and version in the address."""
        self.stage(DEV, uploadtrigger_jenkins="http://ci.example/job/{pkgname}/{pkgversion}/build?token=t")
        self.release(DEV, "a", "1.0+x")
        self.settle()
        assert self.told == []
        self.file(DEV, "a", "1.0+x", "a-1.0+x.tar.gz", b"sdist")
        self.file(DEV, "a", "1.0+x", "a-1.0+x.doc.zip", b"docs", kind="doczip")
        self.settle()
        assert [told.path for told in self.told] == ["/job/a/1.0%2Bx/build?token=t"]
        assert self.told[0].body == b"Submit=Build&name=a-1.0%2Bx"
        assert self.told[0].content_type == "application/x-www-form-urlencoded"

    def test_both(self) -> None:
        """One does not wait for the other."""
        self.stage(DEV, webhook_url=HOOK, uploadtrigger_jenkins="http://ci.example/told2")
        self.codes = [500, 200]
        self.file(DEV, "a", "1.0", "a-1.0.tar.gz", b"sdist")
        self.settle()
        assert [told.path for told in self.told] == ["/told", "/told2"]

    def test_a_build_that_cannot_be_triggered(self) -> None:
        """Others are; a build of the same release waits for its turn."""
        self.stage(DEV, uploadtrigger_jenkins="http://ci.example/job/{pkgname}/{pkgversion}/build?token=t")
        self.file(DEV, "none", "1.0", "none-1.0.tar.gz", b"sdist")
        self.file(DEV, "a", "1.0+x", "a-1.0+x.tar.gz", b"sdist")
        self.settle()
        assert [told.path for told in self.told] == ["/job/a/1.0%2Bx/build?token=t"]
        assert self.left() == [Queue(DEV, "uploadtrigger_jenkins", "none/1.0")]
        assert self.told[0].delivery == f"{DEV}/{self.house.ledger.serial}/a/1.0+x"
