"""What an upload leaves behind: on the shelf, in the ledger, after a race, after a crash (conformance 63)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from pypicache.core.changes import FileSaved
from pypicache.ledger.ledger import changes_since
from pypicache.store.incoming import IN_MEMORY
from tests.ring_one.publishing import Dist, PublishCase, head, multipart, plain, sdist, wheel


class RaceTests(PublishCase):
    """Two uploads at once (conformance 63)."""

    held: list[tuple[Deferred[Any], Callable[[], Any]]] | None = None

    def recording(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        if self.held is None:
            return super().recording(function, *arguments)
        waiting: Deferred[Any] = Deferred()
        self.held.append((waiting, lambda: PublishCase.recording(self, function, *arguments)))
        return waiting

    def race(self, first: Dist, second: Dist) -> list[int | None]:
        """Send two forms, so that both are half here before one is complete."""
        bodies = [multipart(plain(dist), dist) for dist in (first, second)]
        senders = self.senders = [self.sender(head(len(body)), body[: len(body) // 2]) for body in bodies]
        for sender, body in zip(senders, bodies, strict=True):
            sender.send(body[len(body) // 2 :])
        self.settle()
        return [sender.status for sender in senders]

    def test_63_one_stores_and_the_other_gets_200(self) -> None:
        serial = self.serial
        self.assertEqual(self.race(wheel(), wheel()), [200, 200])
        self.assertEqual(self.serial, serial + 1)
        self.assertEqual(len(self.listing()), 1)
        self.assertEqual(self.spooled(), [])

    def test_63_with_other_bytes_one_stores_and_the_other_gets_409(self) -> None:
        self.assertEqual(self.race(wheel(), wheel(size=9)), [200, 409])
        self.assertEqual(self.own(), [f"team/dev/{wheel().path}", f"team/dev/{wheel().path}.metadata"])

    def test_63_both_found_good_before_one_is_recorded(self) -> None:
        """The transaction decides, and nothing is on the shelf before it."""
        self.held = []
        self.assertEqual(self.race(wheel(), wheel(size=9)), [None, None])
        self.assertEqual(self.own(), [])
        held, self.held = self.held, None
        for waiting, run in held:
            run().chainDeferred(waiting)
        self.settle()
        self.assertEqual([sender.status for sender in self.senders], [200, 409])
        self.assertEqual(self.listing()[0]["hashes"], {"sha256": wheel().sha256})
        self.assertEqual(self.own(), [f"team/dev/{wheel().path}", f"team/dev/{wheel().path}.metadata"])
        self.assertEqual(self.spooled(), [])


class DeletedMeanwhileTests(PublishCase):
    """The same file was deleted a moment ago."""

    def test_deleted_and_uploaded_again(self) -> None:
        self.make("team/dev", **{**self.options, "volatile": True})
        team = self.account("team")
        for _ in range(3):
            self.assertEqual(self.upload(wheel()).code, 200)
            self.assertEqual(self.get(self.listing()[0]["url"]).body, wheel().content)
            self.assertEqual(self.send("DELETE", f"/team/dev/{wheel().path}", **team).code, 200)
            self.settle()
            self.assertEqual(self.own(), [])


class CrashTests(PublishCase):
    """The bytes come first, the record second."""

    def test_a_crash_between_leaves_nothing_that_is_listed(self) -> None:
        class Crash(Exception):
            """The process ends here."""

        keep = self.house.shelf.keep_together

        def crash(files: Any) -> None:
            keep(files)
            raise Crash

        self.patch(self.house.shelf, "keep_together", crash)
        self.assertEqual(self.upload(wheel()).code, 500)
        self.flushLoggedErrors(Crash)
        self.assertEqual(len(self.own()), 2)
        self.stop()
        self.start()
        self.assertEqual(self.listing(), [])
        self.assertEqual(self.get(f"/team/dev/{wheel().path}").code, 404)
        self.assertEqual(self.upload(wheel()).code, 200)
        self.assertEqual(self.get(self.listing()[0]["url"]).body, wheel().content)

    def test_what_was_in_the_spool_is_gone_after_a_restart(self) -> None:
        large = Dist(wheel().name, bytes(2 * IN_MEMORY))
        body = multipart(plain(large), large)
        self.sender(head(len(body)), body[: IN_MEMORY + 2000])
        self.assertEqual(len(self.spooled()), 1)
        self.stop()
        self.start()
        self.assertEqual(self.spooled(), [])

    def test_an_upload_is_whole_after_a_restart(self) -> None:
        self.upload(wheel())
        before = self.listing()
        self.stop()
        self.start()
        self.assertEqual(self.listing(), before)
        self.assertEqual(self.get(before[0]["url"]).body, wheel().content)

    def test_an_upload_never_makes_way_for_others(self) -> None:
        self.upload(wheel())
        self.stop()
        self.start(max_size=1)
        self.successResultOf(Deferred.fromCoroutine(self.house.upkeep.put_in_order()))
        self.assertEqual(self.successResultOf(self.house.memory.keys()), set())
        self.assertEqual(self.get(self.listing()[0]["url"]).body, wheel().content)


class VolatileTests(PublishCase):
    """On a volatile index a file is replaced."""

    options: ClassVar[Any] = {"acl_upload": [":ANONYMOUS:"], "volatile": True}

    def test_the_old_file_is_gone(self) -> None:
        self.upload(wheel())
        self.assertEqual(self.upload(wheel(size=9)).code, 200)
        self.assertEqual([file["hashes"]["sha256"] for file in self.listing()], [wheel(size=9).sha256])
        self.assertEqual(self.get(f"/team/dev/{wheel().path}").code, 410)
        self.assertEqual(self.own(), [f"team/dev/{wheel(size=9).path}", f"team/dev/{wheel(size=9).path}.metadata"])

    def test_the_log_counts_how_often(self) -> None:
        for size in (0, 1, 2):
            self.upload(wheel(size=size))
        (file,) = self.stored()
        self.assertEqual([item["what"] for item in file.log], ["overwrite", "upload"])
        self.assertEqual(file.log[0], {"what": "overwrite", "who": None, "when": file.log[1]["when"], "count": 2})
        self.assertEqual(len(file.log[1]["when"]), 6)
        self.assertEqual(file.log[1]["dst"], "team/dev")

    def test_what_was_replaced_can_come_back(self) -> None:
        for size in (0, 1, 0):
            self.upload(wheel(size=size))
        self.assertEqual(self.get(f"/team/dev/{wheel().path}").body, wheel().content)
        self.assertEqual(self.get(f"/team/dev/{wheel(size=1).path}").code, 410)

    def test_the_same_again_changes_nothing(self) -> None:
        self.upload(wheel())
        serial = self.serial
        self.assertEqual(self.upload(wheel()).code, 200)
        self.assertEqual(self.serial, serial)

    def test_its_test_results_go_with_it(self) -> None:
        self.upload(sdist())
        self.assertEqual(self.send("POST", f"/team/dev/{sdist().path}", {"testenvs": {}}).code, 200)
        other = sdist(extra=["Keywords: other"])
        self.assertEqual(self.upload(other).code, 200)
        self.assertEqual([file.kind for file in self.stored()], ["releasefile"])
        self.assertEqual(self.own(), [f"team/dev/{other.path}"])

    def test_one_change_has_it_all(self) -> None:
        self.upload(wheel())
        serial = self.serial
        self.upload(wheel(size=1))
        ((_, _, changes),) = self.house.ledger.read_now(lambda connection: changes_since(connection, serial, 9))
        self.assertEqual([type(change).__name__ for change in changes], ["FileGone", "FileSaved"])
        self.assertIsInstance(changes[1], FileSaved)
