"""The database of what can be fetched again: one connection, one thread, and changes that share transactions."""

from __future__ import annotations

import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypicache.calm import BITE, WhenCalm
from pypicache.memory_seen import Seen
from pypicache.memory_tables import SCHEMA, TABLES, columns, expected_columns
from pypicache.tasks import InThread

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], object]
Written = list[tuple["Deferred[None]", Failure | None]]


class MemoryDatabase:
    """The database, used by one thread.

    Every question is a function of a connection, run there, and only values come out.
    """

    log = Logger()

    def __init__(self, path: Path, in_thread: InThread, when_calm: WhenCalm) -> None:
        self._path = path
        self._in_thread = in_thread
        self._when_calm = when_calm
        self._resting = False  # changes wait until there is little to do
        self._connection: sqlite3.Connection | None = None
        self._waiting: deque[tuple[Change, Deferred[None]]] = deque()
        self._seen = Seen()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and not columns(connection):
                connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            elif version != SCHEMA:
                raise sqlite3.DatabaseError(f"schema {version} is not schema {SCHEMA}")
            elif columns(connection) != expected_columns():
                raise sqlite3.DatabaseError("its tables are not ours")
            connection.execute("SELECT (SELECT MAX(checked) FROM pages), (SELECT MAX(used) FROM files)").fetchone()
            for index, project, sha256 in connection.execute(
                "SELECT idx, project, '' FROM pages UNION ALL SELECT idx, project, sha256 FROM files"
            ):
                self.note(index, project, sha256)
            self._seen.complete = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin_anew(self, why: Exception) -> None:
        self.log.warn("{path} cannot be used ({why}); it is begun anew", path=str(self._path), why=str(why))
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        if self._path.exists():
            self._path.replace(self._path.with_name(self._path.name + ".broken"))

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        for attempt in (1, 2):
            try:
                if self._connection is None:
                    self._connection = self._open()
                return question(self._connection)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                    raise  # a full disk, a lock: says nothing about what is written already
                self._begin_anew(error)
            except sqlite3.DatabaseError as error:
                if attempt == 2:
                    raise
                self._begin_anew(error)
        raise AssertionError("a new database was not usable")

    def note(self, index: str, project: str, sha256: str = "") -> None:
        """Something of a project is about to be remembered, or a file with this digest."""
        self._seen.note((index, project))
        if sha256:
            self._seen.note(sha256)

    def read(
        self, question: Callable[[sqlite3.Connection], T], otherwise: T, about: Hashable | None = None
    ) -> Deferred[T]:
        """Ask a function of a connection; ``otherwise`` is the answer where the database cannot be asked.

        :param about: an index and a project, or a digest: where nothing is remembered of that, nobody is asked.
        """
        if about is not None and self._seen.lacks(about):
            return succeed(otherwise)

        def attempt() -> T:
            try:
                return self._ask(question)
            except sqlite3.OperationalError as error:
                self.log.warn("{path} cannot be asked: {why}", path=str(self._path), why=str(error))
                return otherwise

        self._flush()  # what was changed before is seen
        return self._in_thread(attempt)

    def write(self, change: Change, patient: bool = False) -> Deferred[None]:
        """Let a function of a connection change something, all of it or nothing; a full disk takes in nothing.

        Changes that wait at the same time share a transaction.

        :param patient: nobody waits for it, so it may wait until there is little to do, or for the next question.
        """
        outcome: Deferred[None] = Deferred()
        self._waiting.append((change, outcome))
        if patient:
            self._rest()
        else:
            self._flush()
        return outcome

    def _rest(self) -> None:
        if self._waiting and not self._resting:
            self._resting = True
            self._when_calm().addBoth(self._go_on)

    def _go_on(self, _: object) -> None:
        self._resting = False
        self._flush(BITE)

    def _flush(self, most: int = sys.maxsize) -> None:
        if self._waiting:
            self._in_thread(self._write_waiting, most).addCallbacks(self._settle, self._give_up)

    def _give_up(self, failure: Failure) -> None:
        self._settle([(self._waiting.popleft()[1], failure) for _ in range(len(self._waiting))])

    def _settle(self, written: Written) -> None:
        for outcome, failure in written:
            if not outcome.called:  # cancelled: nobody waits for it any more
                outcome.callback(failure)  # a Failure goes the way of failures
        self._rest()

    def _write_waiting(self, most: int) -> Written:
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        try:
            self._transaction([change for change, _ in taken])
        except Exception:  # one of them, or the disk: each on its own tells which
            return [(outcome, self._alone(change)) for change, outcome in taken]
        return [(outcome, None) for _, outcome in taken]

    def _alone(self, change: Change) -> Failure | None:
        try:
            self._transaction([change])
        except sqlite3.OperationalError as error:
            self.log.warn("{path} does not take this in: {why}", path=str(self._path), why=str(error))
        except Exception:
            return Failure()
        return None

    def _transaction(self, changes: Sequence[Change]) -> None:
        def together(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        if changes:
            self._ask(together)

    def close(self) -> Deferred[None]:
        """Close the database."""

        def close() -> None:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

        self._flush()
        return self._in_thread(close)
