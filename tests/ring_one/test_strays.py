"""Bytes that a crash left: removed when they are old, and nothing else ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from time import time
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from pypicache import cli
from pypicache.core.changes import IndexGone
from pypicache.ledger.ledger import Decision
from pypicache.work.strays import AGE, MOST, find, removal
from tests.ring_one.publishing import Dist, PublishCase, multipart, plain, sdist, wheel

DAY = 86_400.0


class Crash(Exception):
    """The process ends here."""


class StraysCase(PublishCase):
    """A daemon that can be killed at the instant between the shelf and the ledger."""

    options: ClassVar[Any] = {"acl_upload": [":ANONYMOUS:"], "volatile": True}

    def setUp(self) -> None:
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] | None = None
        super().setUp()
        self.messages: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            if "were in no index" in str(event.get("log_format")):
                self.messages.append(f"{event['found']} found, {event['count']} removed")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def recording(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        if self.held is None:
            return super().recording(function, *arguments)
        waiting: Deferred[Any] = Deferred()
        self.held.append((waiting, lambda: PublishCase.recording(self, function, *arguments)))
        return waiting

    def begin_upload(self, dist: Dist) -> None:
        """Upload up to the instant at which the bytes are on the shelf, and nothing is recorded."""
        keep = self.house.shelf.keep_together

        def crash(files: Any) -> None:
            keep(files)
            raise Crash

        patched = self.patch(self.house.shelf, "keep_together", crash)
        self.post(multipart(plain(dist), dist))
        patched.restore()
        assert len(self.flushLoggedErrors(Crash)) == 1
        assert self.house.shelf.holds(f"team/dev/{dist.path}")

    def kill(self) -> None:
        """End the daemon without a farewell, and start it again."""
        self.held = None
        now = self.clock.seconds()
        self.clock = Clock()
        self.clock.advance(now)
        self.start()

    def later(self, seconds: float) -> None:
        """Let time pass since the files were placed, which the disk says by the clock of this machine."""
        self.clock.advance(max(time() + 60 - self.clock.seconds(), 0) + seconds)

    def sweep(self) -> str:
        """Look for strays; what the log says."""
        self.messages.clear()
        self.successResultOf(Deferred.fromCoroutine(self.house.strays.sweep()))
        return " ".join(self.messages)


class CrashTests(StraysCase):
    """The daemon is killed."""

    def test_killed_between_shelf_and_ledger(self) -> None:
        """What is left is removed after a week, with what lies beside it; what is listed stays."""
        assert self.upload(sdist()).code == 200
        before = self.own()
        self.begin_upload(wheel())
        self.kill()
        assert len(self.own()) == len(before) + 2
        self.later(AGE - DAY)
        assert self.sweep() == "2 found, 0 removed"
        self.later(DAY)
        assert self.sweep() == "2 found, 2 removed"
        assert self.own() == before
        assert self.sweep() == ""
        assert self.upload(wheel()).code == 200
        assert self.get(f"/team/dev/{wheel().path}").body == wheel().content

    def test_killed_between_ledger_and_shelf(self) -> None:
        """A file was deleted, and its bytes are still there; the same with a whole index."""
        self.assertEqual(self.upload(wheel()).code, 200)
        team = self.account("team")
        self.held = []
        deleting = self.begin(f"/team/dev/{wheel().path}", "DELETE", **team)
        waiting, run = self.held.pop(0)
        run().chainDeferred(waiting)
        assert deleting.answer().code == 200
        self.kill()
        assert len(self.own()) == 2
        self.house.ledger.change_now(lambda connection: Decision([IndexGone(name="team/dev")], None))
        self.later(AGE)
        assert self.sweep() == "2 found, 2 removed"
        assert self.own() == []

    def test_by_the_clock(self) -> None:
        """At the start, and then daily, also after it failed once."""
        self.begin_upload(wheel())
        self.kill()
        self.later(AGE - 2 * DAY)
        files = self.house.shelf.indexes
        self.patch(self.house.shelf, "indexes", lambda: 1 / 0)
        self.house.strays.start()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        self.patch(self.house.shelf, "indexes", files)
        for left in (2, 0):
            self.advance(DAY)
            assert len(self.own()) == left
        self.stop()


class SafetyTests(StraysCase):
    """What is not removed."""

    def test_an_upload_finds_them(self) -> None:
        """It needs the bytes while they are removed: they are there when it is answered."""
        self.begin_upload(wheel())
        self.kill()
        self.later(AGE)
        self.held = []
        self.post(multipart(plain(wheel()), wheel()))
        found = find(self.house.ledger, self.house.shelf)
        assert len(found) == 2
        _, removed = self.house.ledger.change_now(removal(self.house.shelf, found, self.clock.seconds()))
        assert removed == 2
        while self.held:
            waiting, run = self.held.pop(0)
            run().chainDeferred(waiting)
            self.settle()
        assert self.get(f"/team/dev/{wheel().path}").body == wheel().content
        assert self.get(f"/team/dev/{wheel().path}.metadata").code == 200

    def test_recorded_meanwhile(self) -> None:
        """The ledger is asked again in the transaction that removes."""
        self.begin_upload(wheel())
        found = find(self.house.ledger, self.house.shelf)
        assert self.upload(wheel()).code == 200
        decision, count = self.house.ledger.change_now(removal(self.house.shelf, found, time() + 60))
        assert (len(found), decision, count) == (2, None, 0)
        assert len(self.own()) == 2

    def test_mirrors_and_what_is_none_of_ours(self) -> None:
        """Files of mirrors are a cache; others were put there by people."""
        name = f"+f/000/0000000000000/{wheel().name}"
        for key in (
            f"root/pypi/{name}",
            "team/dev/README",
            "team/dev/+f/x/notes",
            "team/dev/+f/000/1/a",
            "team/x",
            "y",
        ):
            place = self.house.shelf.path(key)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"x")
        before = self.own()
        self.later(10 * AGE)
        assert self.sweep() == ""
        assert self.own() == before

    def test_more_than_a_crash_leaves(self) -> None:
        """Then the ledger is not the one that belongs to these files."""
        for number in range(MOST + 1):
            self.house.shelf.write(f"team/dev/+f/000/0000000000000/{number}", b"x")
        self.later(AGE)
        assert self.sweep() == f"{MOST + 1} found, 0 removed"
        self.house.shelf.remove("team/dev/+f/000/0000000000000/0")
        assert self.sweep() == f"{MOST} found, {MOST} removed"

    def test_older_than_the_ledger(self) -> None:
        """It was lost, and a new one was begun."""
        self.assertEqual(self.upload(wheel()).code, 200)
        self.stop()
        self.house.ledger.close()
        for place in self.directory.glob("ledger.sqlite*"):
            place.unlink()
        self.later(DAY)
        self.start()
        self.later(AGE + DAY)
        assert self.sweep() == "2 found, 0 removed"
        assert len(self.own()) == 2


class FsckTests(StraysCase):
    """``pypicache fsck``."""

    def fsck(self, *flags: str) -> tuple[int, list[str]]:
        """The exit code, and what is printed."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main(["fsck", "--state", str(self.directory), *flags])
        return code, (out.getvalue() + err.getvalue()).splitlines()

    def test_no_state(self) -> None:
        """Nothing is made where there was nothing."""
        before = sorted(self.directory.iterdir())
        code, [line] = self.fsck()
        assert (code, line[:19]) == (1, "pypicache: state = ")
        assert sorted(self.directory.iterdir()) == before

    def test_what_is_wrong(self) -> None:
        """Files that are not there, that were changed, and that nobody lists."""
        (self.directory / "uuid").write_text("0" * 32)
        assert self.upload(wheel()).code == 200
        assert self.upload(sdist()).code == 200
        assert self.fsck() == (0, ["0 files are not what was uploaded, 0 are in no index, 0 of these were removed"])
        shelf = self.house.shelf
        shelf.remove(f"team/dev/{sdist().path}")
        shelf.path(f"team/dev/{wheel().path}.metadata").write_bytes(b"other")
        shelf.write("team/gone/+f/000/0000000000000/a-1.0.zip", b"stray")
        code, lines = self.fsck("--remove")
        assert code == 1
        assert len(lines) == 4
        assert f"team/dev/{sdist().path}: is not there, or cannot be read" in lines
        assert any(line.startswith(f"team/dev/{wheel().path}.metadata: has the sha256 ") for line in lines)
        assert lines[-2:] == [
            "team/gone/+f/000/0000000000000/a-1.0.zip: is in no index (5 bytes)",
            "2 files are not what was uploaded, 1 are in no index, 0 of these were removed",
        ]
        self.patch(cli, "time", lambda: time() + 4000)
        assert self.fsck("--remove")[1][-1].endswith("1 are in no index, 1 of these were removed")
        assert self.fsck("--remove")[1][-1].endswith("0 are in no index, 0 of these were removed")
        assert shelf.holds(f"team/dev/{wheel().path}")
