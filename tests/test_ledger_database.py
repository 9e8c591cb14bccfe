"""The database under the ledger: made, brought up to date, refused; and what a crash leaves of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from pypicache.core.errors import BadInput
from pypicache.ledger import migrations
from pypicache.ledger.ledger import all_users, changes_since
from pypicache.ledger.migrations import upgrade
from pypicache.ledger.migrations.engines import engine_of
from pypicache.ledger.tables import TABLES
from tests.databases import LedgerCase, OnPostgresql, OnSqlite
from tests.histories import user

NEXT = """
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = {head!r}

def upgrade():
    op.create_table("later", sa.Column("name", sa.String, primary_key=True))
    {more}
"""

WRITER = """
import os, sys
from pathlib import Path
from pypicache.core.changes import UserSaved
from pypicache.ledger.ledger import Decision, Ledger
from twisted.internet.defer import Deferred, maybeDeferred

ledger = Ledger(sys.argv[1], maybeDeferred, maybeDeferred)
print("ready", flush=True)
sys.stdin.readline()
ledger.open(Path(sys.argv[2]))
print("open", flush=True)
most = int(sys.argv[3])
if sys.argv[4:] == ["die"]:
    ledger.listeners.append(lambda recorded: os.kill(os.getpid(), 9) if recorded.serial == most else None)
for number in range(most):
    decide = lambda connection: Decision([UserSaved(name=f"u{number}", record={"n": number})], None)
    Deferred.fromCoroutine(ledger.change(decide))
    print(ledger.serial, flush=True)
"""


def shape(engine: Engine) -> dict[str, object]:
    """The tables of a database: their columns, keys and indexes."""
    found = inspect(engine)
    return {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            sorted((index["name"], index["column_names"], index["unique"]) for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
    }


class DatabaseContract(LedgerCase):
    """What holds on every database."""

    __test__ = False

    def head(self) -> str | None:
        """The revision that the database has."""
        with self.engine().connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def engine(self, database: str | None = None) -> Engine:
        """A database as Alembic sees it."""
        engine = engine_of(database or self.database)
        self.addCleanup(engine.dispose)
        return engine

    def later_version(self, more: str = "pass") -> Path:
        """The migrations of a later version of the program."""
        place = self.directory / "later"
        shutil.copytree(Path(migrations.__file__).parent, place, ignore=shutil.ignore_patterns("__pycache__"))
        (place / "versions" / "v9999_next.py").write_text(NEXT.format(head=self.head(), more=more))
        return place

    def writer(self, *arguments: str) -> subprocess.Popen[str]:
        """A process that opens the ledger when it is given a line, and prints each serial when it is told."""
        command = [sys.executable, "-W", "ignore", "-c", WRITER, self.database, str(self.directory / "b"), *arguments]
        # Our own program, with arguments of our own.
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    # -- made and brought up to date -------------------------------------------------------------------------------

    def test_the_migrations_make_the_tables(self) -> None:
        """All of them, one after the other, make the tables that a new database gets at once."""
        migrated = self.engine(self.make_database())
        upgrade(migrated, self.directory / "backups")
        made = shape(self.engine())
        assert shape(migrated) == made
        assert made.keys() == {"alembic_version", *(table.name for table in TABLES)}
        assert not (self.directory / "backups").exists()

    def test_opening_again(self) -> None:
        """Nothing is changed and no backup is made; the serial is that of the journal."""
        self.change(user("alice"))
        self.ledger.close()
        self.ledger = self.open()
        assert self.ledger.serial == 1
        self.change(user("bob"))
        assert self.ledger.serial == 2
        assert not (self.directory / "backups").exists()

    def test_an_older_one_is_brought_up_to_date(self) -> None:
        """And keeps what it has."""
        self.change(user("alice"))
        upgrade(self.engine(), self.directory / "backups", self.later_version())
        assert self.head() == "9999"
        assert "later" in inspect(self.engine()).get_table_names()
        assert self.read(all_users) == {"alice": {}}

    def test_a_migration_that_fails_changes_nothing(self) -> None:
        """The database stays as it was, and usable."""
        before = self.head()
        with pytest.raises(ZeroDivisionError):
            upgrade(self.engine(), self.directory / "backups", self.later_version("1 / 0"))
        assert self.head() == before
        assert "later" not in inspect(self.engine()).get_table_names()
        self.change(user("alice"))

    def test_a_newer_one_is_refused(self) -> None:
        """In one line."""
        upgrade(self.engine(), self.directory / "backups", self.later_version())
        with pytest.raises(BadInput) as refused:
            self.open()
        assert str(refused.value).endswith("a newer version of pypicache has changed it (schema 9999)")
        assert "\n" not in str(refused.value)

    # -- several processes, and the end of one ---------------------------------------------------------------------

    def test_several_start_at_once(self) -> None:
        """Processes that find an empty database make its tables once."""
        self.database = self.make_database()
        starting = [self.writer("0") for _ in range(3)]
        for process in starting:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate()[0] for process in starting] == ["open\n"] * 3

    def test_killed_at_any_time(self) -> None:
        """What was acknowledged is there; the journal has no holes."""
        process = self.writer("100000")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        while process.stdout.readline() not in {"20\n", ""}:
            pass
        process.send_signal(signal.SIGKILL)
        acknowledged = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
        last = max([20, *map(int, acknowledged)])
        self._check(last, last + 1)

    def test_killed_between_commit_and_answer(self) -> None:
        """What is committed stays, though nobody was told."""
        process = self.writer("7", "die")
        told = process.communicate("go\n")[0].split()
        assert process.returncode == -signal.SIGKILL
        assert told == ["open", *map(str, range(1, 7))]
        self._check(7, 7)

    def _check(self, least: int, most: int) -> None:
        ledger = self.ledger = self.open()
        assert least <= ledger.serial <= most
        assert [serial for serial, _, _ in self.read(changes_since, 0, 10**6)] == list(range(1, ledger.serial + 1))
        assert self.read(all_users) == {f"u{number}": {"n": number} for number in range(ledger.serial)}
        self.change(user("after"))
        assert ledger.serial == 1 + len(self.read(all_users)) - 1


class SqliteDatabase(DatabaseContract, OnSqlite):
    """On SQLite."""

    __test__ = True

    def test_a_backup_is_made_first(self) -> None:
        """The database as it was before the upgrade, whole, readable by nobody else."""
        self.change(user("alice"))
        before = self.head()
        upgrade(self.engine(), self.directory / "backups", self.later_version())
        [backup] = (self.directory / "backups").iterdir()
        assert backup.stat().st_mode & 0o777 == 0o600
        old = engine_of(f"sqlite:///{backup}")
        self.addCleanup(old.dispose)
        with old.connect() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == before
            assert "later" not in inspect(connection).get_table_names()
        assert self.open(f"sqlite:///{backup}").read_now(all_users) == {"alice": {}}

    def test_nobody_else_may_read_it(self) -> None:
        """Password hashes and credentials are in it."""
        self.change(user("alice"))
        places = list(self.directory.glob("*.sqlite*"))
        assert len(places) > 1, "SQLite has no files beside the database"
        assert {place.stat().st_mode & 0o777 for place in places} == {0o600}

    def test_commits_are_synced(self) -> None:
        """A power cut takes nothing that was acknowledged."""
        for writing in (True, False):
            with self.ledger.database.transaction(writing=writing) as connection:
                assert connection.value("PRAGMA synchronous") == 2
                assert connection.value("PRAGMA journal_mode") == "wal"

    def test_odd_values_come_back_as_they_are(self) -> None:
        """Also those that only Python's own JSON knows."""
        record = {
            "emoji": "é😀",
            "long": 2**70,
            "half": "\ud83d",
            "quoted": '"\\\n',
            "deep": [{"a": [1.5, None, True]}],
        }
        self.change(user("alice", **record), user("bob", half="\ud83d"), user("carol", emoji="é😀"))
        assert self.read(all_users) == {"alice": record, "bob": {"half": "\ud83d"}, "carol": {"emoji": "é😀"}}
        [(_, _, changes)] = self.read(changes_since, 0, 10)
        assert changes[0] == user("alice", **record)

    def test_what_is_no_database_is_refused(self) -> None:
        """In one line that names it."""
        place = self.directory / "letter"
        place.write_bytes(b"this is a letter to my aunt, and quite a long one" * 100)
        with pytest.raises(BadInput) as refused:
            self.open(f"sqlite:///{place}")
        assert str(refused.value).startswith(f"database = sqlite:///{place}: it cannot be used: ")
        assert "\n" not in str(refused.value)

    def test_a_place_without_a_directory_is_refused(self) -> None:
        """In one line that names it."""
        with pytest.raises(BadInput, match="cannot be used: No such file or directory"):
            self.open(f"sqlite:///{self.directory}/nowhere/ledger.sqlite")


@pytest.mark.usefixtures("in_postgresql")
class PostgresqlDatabase(DatabaseContract, OnPostgresql):
    """On PostgreSQL."""

    __test__ = True

    def test_a_server_that_was_restarted(self) -> None:
        """Connections that it closed are made anew, for reading and for writing."""
        self.change(user("alice"))
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        other_engine = self.engine()
        for number in range(1, 3):
            with self.ledger.database.transaction() as one, self.ledger.database.transaction() as another:
                assert all_users(one) == all_users(another)
            with other_engine.connect() as killer:
                ended = killer.exec_driver_sql(
                    f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {others}"  # noqa: S608
                )
                assert [row[0] for row in ended] == [True, True]
            if number == 1:
                assert self.read(all_users) == {"alice": {}}
            else:
                self.change(user("bob"))
        assert self.read(all_users).keys() == {"alice", "bob"}

    def test_connections_are_used_again(self) -> None:
        """One after the other needs one, also after errors."""
        mine = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                self.read(lambda connection: 1 / 0)
            with pytest.raises(self.ledger.database.errors):
                self.read(lambda connection: connection.value("SELECT 1 / 0"))
            self.change(user("alice"))
        assert len(self.read(lambda connection: connection.rows(mine))) == 1

    def test_a_server_that_is_not_there_is_refused(self) -> None:
        """In one line that names it, without its password."""
        with pytest.raises(BadInput) as refused:
            self.open("postgresql://alice:s3cret@127.0.0.1:1/ledger")
        assert "127.0.0.1:1/ledger: it cannot be used" in str(refused.value)
        assert "s3cret" not in str(refused.value)
        assert "\n" not in str(refused.value)
