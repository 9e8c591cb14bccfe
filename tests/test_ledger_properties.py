"""What holds for a ledger whatever happens to it, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from pypicache.core.changes import Change, from_json, to_json
from pypicache.ledger.apply import apply
from pypicache.ledger.ledger import Ledger, changes_since
from pypicache.ledger.state import State
from pypicache.ledger.tables import TABLES
from tests.databases import LedgerCase, OnPostgresql, OnSqlite
from tests.histories import CHANGES, HISTORIES, decided, everything


@given(CHANGES)
def test_a_change_survives_json(change: Change) -> None:
    """What the journal has is the change."""
    assert from_json(to_json(change)) == change


@pytest.mark.parametrize("record", [{"change": "UserRenamed"}, {"name": "alice"}])
def test_what_is_no_change_is_refused(record: dict[str, object]) -> None:
    """A journal of another version is not read by guessing."""
    with pytest.raises(KeyError):
        from_json(record)


def empty(*ledgers: Ledger) -> None:
    """Make ledgers as good as new."""
    for ledger in ledgers:
        with ledger.database.transaction(writing=True) as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 -- names of our own
        ledger.serial = 0
        ledger.listeners.clear()


class LedgerProperties(LedgerCase):
    """What every ledger does, whatever database it lives in."""

    __test__ = False

    def test_twice_is_once(self) -> None:
        """A change says the whole new state: applied again, nothing is different."""

        @settings(max_examples=60)
        @given(HISTORIES, CHANGES)
        def holds(history: list[list[Change]], change: Change) -> None:
            empty(self.ledger)
            for changes in history:
                self.ledger.change_now(decided(*changes))
            with self.ledger.database.transaction(writing=True) as connection:
                apply(change, connection, 99)
                once = everything(connection)
                apply(change, connection, 99)
                assert everything(connection) == once

        holds()

    def test_reloading_equals_following(self) -> None:
        """What is held in memory is the same after a restart as before it."""

        @settings(max_examples=40)
        @given(HISTORIES)
        def holds(history: list[list[Change]]) -> None:
            empty(self.ledger)
            followed, loaded = State(), State()
            followed.load(self.ledger)
            for changes in history:
                self.change(*changes)
            loaded.load(self.ledger)
            assert (loaded.users, loaded.specs, loaded.tokens) == (followed.users, followed.specs, followed.tokens)

        holds()

    def test_the_journal_is_the_truth(self) -> None:
        """Replayed into an empty ledger, it gives the same tables."""
        replica = self.open(self.make_database())

        @settings(max_examples=40)
        @given(HISTORIES)
        def holds(history: list[list[Change]]) -> None:
            empty(self.ledger, replica)
            for changes in history:
                self.ledger.change_now(decided(*changes))
            recorded = self.read(changes_since, 0, 1000)
            assert [changes for _, _, changes in recorded] == history
            for serial, at, changes in recorded:
                with replica.database.transaction(writing=True) as connection:
                    record = {"serial": serial, "at": at, "changes": [to_json(change) for change in changes]}
                    connection.execute("INSERT INTO journal VALUES (:serial, :at, :changes)", **record)
                    for change in changes:
                        apply(change, connection, serial)
            assert replica.read_now(everything) == self.read(everything)

        holds()


class SqliteProperties(LedgerProperties, OnSqlite):
    """On SQLite."""

    __test__ = True


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlProperties(LedgerProperties, OnPostgresql):
    """On PostgreSQL."""

    __test__ = True
