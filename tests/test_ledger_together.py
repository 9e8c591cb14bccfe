"""Changes that wait for the writer thread together share a transaction; the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred

from pypicache.core.errors import Conflict, NoRoom
from pypicache.ledger.database import Connection, Lost
from pypicache.ledger.ledger import Decision, Ledger, Recorded, all_users, changes_since, fact, set_fact
from tests.databases import LedgerCase, OnPostgresql, OnSqlite
from tests.histories import decided, file, user


class TogetherContract(LedgerCase):
    """They are told apart by whoever asked, and cost one wait for the disk."""

    __test__ = False

    def waiting_together(
        self, *asked: tuple[Any, bool], keep: Any = lambda files: None
    ) -> tuple[Ledger, list[Recorded], list[Deferred[Any]]]:
        """Have the writer thread find all of these at once: how to decide, and whether alone."""
        gate: Deferred[None] = Deferred()
        ledger = Ledger(
            self.database, lambda function: gate.addCallback(lambda _: function()), maybeDeferred, keep=keep
        )
        self.addCleanup(ledger.close)
        told: list[Recorded] = []
        ledger.listeners.append(told.append)
        answers = [Deferred.fromCoroutine(ledger.change(decide, alone=alone)) for decide, alone in asked]
        gate.callback(None)
        return ledger, told, answers

    def test_together_each_has_a_serial_and_sees_those_before(self) -> None:
        """One that fails, before or while it is applied, changes nothing of the others."""

        def refuse(connection: Connection) -> Decision[None]:
            set_fact(connection, "tried", "yes")
            raise Conflict("it is there")

        def look(connection: Connection) -> Decision[Any]:
            return Decision([], sorted(all_users(connection)))

        ledger, told, answers = self.waiting_together(
            (decided(user("alice")), False),
            (refuse, False),
            (decided(user("eve"), file(hashes={})), False),
            (look, False),
            (decided(user("bob")), False),
        )
        assert self.successResultOf(answers[0]) == "told"
        self.failureResultOf(answers[1], Conflict)
        self.failureResultOf(answers[2], KeyError)
        assert self.successResultOf(answers[3]) == ["alice"]
        assert self.successResultOf(answers[4]) == "told"
        assert [(one.serial, one.changes) for one in told] == [(1, (user("alice"),)), (2, (user("bob"),))]
        assert [serial for serial, _, _ in self.read(changes_since, 0, 10)] == [1, 2]
        assert self.read(fact, "tried") is None
        assert sorted(self.read(all_users)) == ["alice", "bob"]
        assert ledger.serial == 2

    def test_together_nothing_is_committed_before_the_last(self) -> None:
        """And a change that asks for it finds everything before it committed, and nothing after it."""
        seen: list[list[str]] = []

        def look(connection: Connection) -> Decision[None]:
            seen.append(sorted(self.read(all_users)))
            return Decision([], None)

        one, two, three = (decided(user(name)) for name in ("one", "two", "three"))
        _, _, answers = self.waiting_together((one, False), (look, False), (two, False), (look, True), (three, False))
        for answer in answers:
            self.successResultOf(answer)
        assert seen == [[], ["one", "two"]]

    def test_together_all_fail_if_the_database_does(self) -> None:
        """Nobody is told that something was recorded which was not."""

        def lose(connection: Connection) -> Decision[None]:
            connection.execute("ROLLBACK")
            raise Conflict("lost")

        _, told, answers = self.waiting_together(
            (decided(user("alice")), False), (lose, False), (decided(user("bob")), False)
        )
        for answer in answers:
            self.failureResultOf(answer, Lost)
        assert (told, self.read(all_users)) == ([], {})
        self.change(user("carol"))
        assert list(self.read(all_users)) == ["carol"]

    def test_files_are_kept_together_before_anything_is_committed(self) -> None:
        """Those of a change that fails are not."""
        kept: list[tuple[list[str], list[str]]] = []

        def refuse(connection: Connection) -> Decision[None]:
            raise Conflict("it is there")

        def wrong(connection: Connection) -> Decision[None]:
            return Decision([file(hashes={})], None, ["of one that fails"])

        _, _, answers = self.waiting_together(
            (lambda _: Decision([user("alice")], None, ["one", "two"]), False),
            (refuse, False),
            (wrong, False),
            (lambda _: Decision([user("bob")], None, ["three"]), False),
            keep=lambda files: kept.append((list(files), sorted(self.read(all_users)))),
        )
        for answer in (answers[0], answers[3]):
            self.successResultOf(answer)
        self.failureResultOf(answers[1], Conflict)
        self.failureResultOf(answers[2], KeyError)
        assert kept == [(["one", "two", "three"], [])]
        assert sorted(self.read(all_users)) == ["alice", "bob"]

    def test_only_those_fail_whose_files_cannot_be_kept(self) -> None:
        """The others are recorded once, each in a transaction of its own."""

        def keep(files: list[str]) -> None:
            if "too large" in files:
                raise NoRoom("the disk is full")

        _, told, answers = self.waiting_together(
            (lambda _: Decision([user("alice")], None, ["small"]), False),
            (lambda _: Decision([user("eve")], None, ["too large"]), False),
            (decided(user("bob")), False),
            keep=keep,
        )
        self.successResultOf(answers[0])
        self.failureResultOf(answers[1], NoRoom)
        assert self.successResultOf(answers[2]) == "told"
        assert [(one.serial, one.changes) for one in told] == [(1, (user("alice"),)), (2, (user("bob"),))]
        assert sorted(self.read(all_users)) == ["alice", "bob"]

    def test_the_writer_thread_does_not_run(self) -> None:
        """Whoever asks is told, and the next one may find it running."""
        running: list[bool] = []

        def write(function: Any) -> Deferred[Any]:
            return maybeDeferred(function) if running else fail(RuntimeError("no thread"))

        ledger = Ledger(self.database, write, maybeDeferred)
        self.addCleanup(ledger.close)
        self.failureResultOf(Deferred.fromCoroutine(ledger.change(decided(user("alice")))), RuntimeError)
        running.append(True)
        self.successResultOf(Deferred.fromCoroutine(ledger.change(decided(user("bob")))))
        assert list(self.read(all_users)) == ["bob"]


class SqliteTogetherTests(TogetherContract, OnSqlite):
    """On SQLite."""

    __test__ = True


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlTogetherTests(TogetherContract, OnPostgresql):
    """On PostgreSQL."""

    __test__ = True
