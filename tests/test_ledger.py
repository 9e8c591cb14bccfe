"""The ledger's contract, the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.threadpool import ThreadPool

from pypicache.core.changes import FileGone, IndexGone, IndexSaved, ReleaseGone, ReleaseSaved, TokenSaved, UserGone
from pypicache.core.errors import Conflict
from pypicache.ledger.apply import apply
from pypicache.ledger.database import Connection
from pypicache.ledger.ledger import (
    Decision,
    Ledger,
    Recorded,
    all_users,
    changes_since,
    fact,
    file_at,
    last_touched,
    project_files,
    project_names,
    project_releases,
    set_fact,
    user_record,
    was_there,
)
from pypicache.ledger.search import all_releases
from tests.databases import LedgerCase, OnPostgresql, OnSqlite
from tests.histories import decided, everything, file, user


class LedgerContract(LedgerCase):
    """What every ledger does, whatever database it lives in."""

    __test__ = False

    # -- serials and transactions ----------------------------------------------------------------------------------

    def test_serials_grow_by_one(self) -> None:
        """Each decision with changes makes one serial, however many changes it has."""
        assert self.ledger.serial == 0
        assert self.change(user("alice"), user("bob")) == "told"
        assert self.ledger.serial == 1
        self.change(user("carol"))
        assert self.ledger.serial == 2
        found = self.read(changes_since, 0, 10)
        assert [(serial, changes) for serial, _, changes in found] == [
            (1, [user("alice"), user("bob")]),
            (2, [user("carol")]),
        ]
        assert self.read(changes_since, 1, 10) == found[1:]
        assert self.read(changes_since, 0, 1) == found[:1]

    def test_times_are_written_in_utc(self) -> None:
        """The journal says when, in the one form that sorts."""
        self.change(user("alice"))
        [(_, at, _)] = self.read(changes_since, 0, 1)
        self.assertRegex(at, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_nothing_changed_nothing_recorded(self) -> None:
        """A decision without changes has a result and no serial, and nobody is told."""
        told: list[Recorded] = []
        self.ledger.listeners.append(told.append)
        assert self.change() == "told"
        assert (self.ledger.serial, told, self.read(changes_since, 0, 10)) == (0, [], [])

    def test_an_error_rolls_everything_back(self) -> None:
        """Neither what was noted before an error nor what was to be changed is there afterwards."""
        told: list[Recorded] = []
        self.ledger.listeners.append(told.append)

        def refuse(connection: Connection) -> Decision[None]:
            set_fact(connection, "tried", "yes")
            raise Conflict("it is there")

        self.failureResultOf(Deferred.fromCoroutine(self.ledger.change(refuse)), Conflict)
        broken = file(hashes={})  # cannot be applied, after a change that could
        self.failureResultOf(Deferred.fromCoroutine(self.ledger.change(decided(user("alice"), broken))), KeyError)
        assert self.read(fact, "tried") is None
        assert self.read(all_users) == {}
        assert (self.ledger.serial, told, self.read(changes_since, 0, 10)) == (0, [], [])
        self.change(user("bob"))
        assert self.ledger.serial == 1

    def test_a_decision_sees_what_was_recorded_before(self) -> None:
        """The truth is looked at inside the transaction."""
        self.change(user("alice", email="a@x.example"))

        def decide(connection: Connection) -> Decision[Any]:
            return Decision([], user_record(connection, "alice"))

        found = self.successResultOf(Deferred.fromCoroutine(self.ledger.change(decide)))
        assert found == {"email": "a@x.example"}

    def test_facts_have_no_serial(self) -> None:
        """What is noted about the ledger itself may be replaced."""
        for value in ("one", "two"):

            def decide(connection: Connection, value: str = value) -> Decision[None]:
                set_fact(connection, "name", value)
                return Decision([], None)

            self.ledger.change_now(decide)
        assert self.read(fact, "name") == "two"
        assert self.ledger.serial == 0

    def test_concurrent_changes(self) -> None:
        """Two daemons on one database, several threads: each change has a serial of its own, none is lost."""
        ledgers = [self.ledger, self.open()]
        serials: list[int] = []

        def count(connection: Connection) -> Decision[None]:
            have = (user_record(connection, "counter") or {"count": 0})["count"]
            return Decision([user("counter", count=have + 1)], None)

        def work(ledger: Ledger) -> None:
            for _ in range(10):
                recorded, _result = ledger.change_now(count)
                assert recorded is not None
                serials.append(recorded.serial)

        threads = [Thread(target=work, args=[ledger]) for ledger in ledgers * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(serials) == list(range(1, 41))
        assert self.read(user_record, "counter") == {"count": 40}

    def test_reading_waits_for_nobody(self) -> None:
        """While one writes, others see what was committed before; what a reader writes is undone."""
        self.change(user("alice"))
        with self.ledger.database.transaction(writing=True) as connection:
            set_fact(connection, "said", "now")
            apply(user("bob"), connection, 2)
            assert self.read(all_users) == {"alice": {}}
            assert self.read(fact, "said") is None
        assert self.read(fact, "said") == "now"
        self.read(set_fact, "said", "by a reader")
        assert self.read(fact, "said") == "now"

    def test_values_are_no_sql(self) -> None:
        """Whatever they look like."""
        for name in ("it's", '"', "%s", "%(name)s", ":name", "?", "a'; DROP TABLE users; --", "\\"):
            self.change(user(name, **{name: [name]}))
            assert self.read(user_record, name) == {name: [name]}
        assert len(self.read(all_users)) == 8

    def test_after_an_error_of_the_database(self) -> None:
        """The next transaction is a new one."""
        self.change(user("alice"))
        for writing in (False, True):
            with (
                pytest.raises(self.ledger.database.errors),
                self.ledger.database.transaction(writing=writing) as connection,
            ):
                connection.execute("SELECT nothing FROM nowhere")
            assert self.read(all_users) == {"alice": {}}
        self.change(user("bob"))
        assert self.ledger.serial == 2

    # -- listeners -------------------------------------------------------------------------------------------------

    def test_listeners_are_told_after_the_commit(self) -> None:
        """In order, by what is committed already; one that fails disturbs nobody."""
        told: list[tuple[str, int, bool]] = []

        def first(recorded: Recorded) -> None:
            with self.open().database.transaction() as other:
                told.append(("first", recorded.serial, (recorded.serial,) in other.rows("SELECT serial FROM journal")))
            raise RuntimeError("a listener's own trouble")

        self.ledger.listeners += [first, lambda recorded: told.append(("second", recorded.serial, True))]
        self.change(user("alice"))
        self.change(user("bob"))
        assert told == [("first", 1, True), ("second", 1, True), ("first", 2, True), ("second", 2, True)]
        assert len(self.flushLoggedErrors(RuntimeError)) == 2

    def test_listeners_are_told_though_the_asker_left(self) -> None:
        """What is committed is told, also when the client has hung up meanwhile."""
        gate: Deferred[None] = Deferred()
        told: list[int] = []

        def write(function: Any, *arguments: object) -> Deferred[Any]:
            return gate.addCallback(lambda _: function(*arguments))

        ledger = Ledger(self.database, write, maybeDeferred)
        self.addCleanup(ledger.close)
        ledger.listeners.append(lambda recorded: told.append(recorded.serial))
        asked = Deferred.fromCoroutine(ledger.change(decided(user("alice"))))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        gate.callback(None)
        assert told == [1]
        assert ledger.serial == 1
        assert self.read(all_users) == {"alice": {}}

    def test_in_threads(self) -> None:
        """Changes that are asked for at once are told in the order of their serials."""
        pool = ThreadPool(1, 1, "ledger")
        pool.start()
        results: list[tuple[Deferred[Any], Any]] = []

        def write(function: Any, *arguments: object) -> Deferred[Any]:
            waiting: Deferred[Any] = Deferred()
            pool.callInThreadWithCallback(
                lambda success, result: results.append((waiting, result)), function, *arguments
            )
            return waiting

        ledger = Ledger(self.database, write, maybeDeferred)
        self.addCleanup(ledger.close)
        told: list[int] = []
        ledger.listeners.append(lambda recorded: told.append(recorded.serial))
        asked = [Deferred.fromCoroutine(ledger.change(decided(user(f"u{number}")))) for number in range(8)]
        pool.stop()  # ends when all work is done
        for waiting, result in results:
            waiting.callback(result)
        for each in asked:
            self.successResultOf(each)
        assert told == list(range(1, 9))

    # -- what changes do -------------------------------------------------------------------------------------------

    def test_files(self) -> None:
        """A file is found by its address and by its project, in the order in which files came."""
        self.change(ReleaseSaved(index="alice/dev", project="a", version="1.0", metadata={"name": "A"}), file("+f/z"))
        self.change(file("+f/a"))
        assert self.read(file_at, "alice/dev", "+f/z") == file("+f/z")
        assert self.read(file_at, "alice/prod", "+f/z") is None
        assert self.read(project_files, "alice/dev", "a") == [file("+f/z"), file("+f/a")]
        assert self.read(project_releases, "alice/dev", "a") == {"1.0": {"name": "A"}}
        assert self.read(project_names, "alice/dev") == ["a"]
        assert self.read(last_touched, "alice/dev", "a") == 2

    def test_all_releases(self) -> None:
        """What searches look through: of some indexes, with what is said, whatever characters are in it."""
        summaries: list[object] = ["Ein gülden Päckchen", 'quoted "so"', "null \0 character", None, 7, ""]
        for number, summary in enumerate(summaries):
            said = {"name": "A.b", "summary": summary, "description": "long"}
            self.change(ReleaseSaved(index="alice/dev", project="a-b", version=str(number), metadata=said))
        self.change(ReleaseSaved(index="alice/prod", project="bare", version="1.0", metadata={}))
        self.change(ReleaseSaved(index="bob/dev", project="other", version="1.0", metadata={}))
        found = self.read(all_releases, ["alice/dev", "alice/prod"])
        assert [(one.index, one.project, one.version, one.name) for one in found] == [
            *(("alice/dev", "a-b", str(number), "A.b") for number in range(len(summaries))),
            ("alice/prod", "bare", "1.0", "bare"),
        ]
        shown = [one.summary for one in found]
        assert shown[:2] == summaries[:2]
        assert shown[2].startswith("null ")
        assert shown[3:] == ["", "7", "", ""]
        assert self.read(all_releases, []) == []

    def test_very_many_releases(self) -> None:
        """They are read a few at a time, and none is left out."""
        versions = [f"{number:03}" for number in range(250)]
        self.change(*(ReleaseSaved(index="alice/dev", project="a", version=one, metadata={}) for one in versions))
        assert [one.version for one in self.read(all_releases, ["alice/dev"])] == versions

    def test_a_file_keeps_its_place(self) -> None:
        """What is said of a file later, that it is yanked for instance, does not make it a later one."""
        self.change(file("+f/z"))
        self.change(file("+f/a"))
        self.change(file("+f/z", yanked="broken"))
        assert self.read(project_files, "alice/dev", "a") == [file("+f/z", yanked="broken"), file("+f/a")]

    def test_deleted_files(self) -> None:
        """The address of a deleted file is known; it is no more when the same file comes again."""
        self.change(file("+f/a"), file("+f/b"))
        self.change(FileGone(index="alice/dev", path="+f/a"))
        assert self.read(was_there, "alice/dev", "+f/a")
        assert not self.read(was_there, "alice/dev", "+f/b")
        assert self.read(last_touched, "alice/dev", "a") == 2
        self.change(file("+f/a"))
        assert not self.read(was_there, "alice/dev", "+f/a")

    def test_deleted_releases(self) -> None:
        """With a version go its files, and no others."""
        release = ReleaseSaved(index="alice/dev", project="a", version="1.0", metadata={})
        self.change(release, file("+f/a"), file("+f/b", version="1.0.0"), file("+f/c", index="alice/prod"))
        self.change(ReleaseGone(index="alice/dev", project="a", version="1.0"))
        assert self.read(project_releases, "alice/dev", "a") == {}
        assert [one.path for one in self.read(project_files, "alice/dev", "a")] == ["+f/b"]
        assert [one.path for one in self.read(project_files, "alice/prod", "a")] == ["+f/c"]
        assert self.read(was_there, "alice/dev", "+f/a")

    def test_deleted_indexes(self) -> None:
        """With an index goes everything in it; one that is made again under its name begins empty."""
        self.change(
            IndexSaved(name="alice/dev", options={"type": "stage"}),
            ReleaseSaved(index="alice/dev", project="a", version="1.0", metadata={}),
            file("+f/a"),
            FileGone(index="alice/dev", path="+f/old"),
        )
        self.change(IndexGone(name="alice/dev"))
        assert [table for table, rows in self.read(everything).items() if rows] == ["journal"]

    def test_deleted_users(self) -> None:
        """With a user go the tokens."""
        self.change(
            user("alice"),
            TokenSaved(id="t1", user="alice", record={}),
            TokenSaved(id="t2", user="bob", record={}),
        )
        self.change(UserGone(name="alice"))
        assert [row[:2] for row in self.read(everything)["tokens"]] == [("t2", "bob")]

    def test_what_is_no_change_is_not_applied(self) -> None:
        """Nothing is journaled that cannot be applied."""
        with (
            pytest.raises(TypeError, match="is no change"),
            self.ledger.database.transaction(writing=True) as connection,
        ):
            apply("a text", connection, 1)


class SqliteLedgerTests(LedgerContract, OnSqlite):
    """On SQLite."""

    __test__ = True


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlLedgerTests(LedgerContract, OnPostgresql):
    """On PostgreSQL."""

    __test__ = True
