"""The ledger: every change has a serial, and is applied in the transaction that journals it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any, Generic, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pypicache.core.changes import Change, FileGone, FileSaved, IndexGone, from_json, to_json
from pypicache.core.errors import BadInput
from pypicache.ledger.apply import apply, upsert
from pypicache.ledger.database import Connection, Database
from pypicache.ledger.outbox import note
from pypicache.ledger.schema import prepare
from pypicache.ledger.tables import facts
from pypicache.tasks import InThread, Shared

T = TypeVar("T")


@frozen
class Decision(Generic[T]):
    """What is to be recorded, and what whoever asked is told."""

    changes: Sequence[Change]
    result: T


@frozen(kw_only=True)
class Recorded:
    """What was committed: its serial and the changes."""

    serial: int
    changes: tuple[Change, ...]


Decide = Callable[[Connection], "Decision[T]"]
"""Looks at the truth inside the transaction and says what to change; raises to change nothing."""


class Ledger:
    """The truth, behind one writer thread and any number of reading ones.

    :param database: URL of the database.
    :param writing: runs one function after the other in the writer thread.
    :param reading: runs functions in other threads.
    :param now: gives the time, in seconds since the epoch.
    :ivar serial: of the last change, as far as this process knows.
    :ivar listeners: told what was recorded, after the commit, in order.
    """

    log = Logger()

    def __init__(self, database: str, writing: InThread, reading: InThread, now: Callable[[], float] = time) -> None:
        self.database = Database(database)
        self._writing = writing
        self._reading = reading
        self._now = now
        self.serial = 0
        self.listeners: list[Callable[[Recorded], None]] = []

    def open(self, backups: Path) -> None:
        """Bring the tables up to date, with a backup before anything is changed. Blocks.

        :raises BadInput: the database cannot be used, or is of a newer version.
        """
        if self.database.path is not None:
            # Passwords and upstream credentials are in it; the files that SQLite puts beside it get the same mode.
            try:
                os.close(os.open(self.database.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise BadInput(f"database = {self.database.url}: it cannot be used: {error.strerror}") from error
        prepare(self.database, backups)
        self.serial = self.read_now(last_serial)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    async def change(self, decide: Callable[[Connection], Decision[T]]) -> T:
        """Decide inside a transaction, and record what was decided. A decision without changes makes no serial.

        A caller that is cancelled leaves; what is committed even so is told to the listeners.
        """
        return await Shared(self._change(decide)).join()

    async def _change(self, decide: Callable[[Connection], Decision[T]]) -> T:
        recorded, result = await self._writing(self.change_now, decide)
        if recorded is not None:
            self.tell(recorded)
        answer: T = result
        return answer

    def change_now(self, decide: Callable[[Connection], Decision[T]]) -> tuple[Recorded | None, T]:
        """The same in this thread, without telling anybody; for the writer thread, and before the reactor runs."""
        with self.database.transaction(writing=True) as connection:
            decision = decide(connection)
            if not decision.changes:
                return None, decision.result
            serial = 1 + last_serial(connection)
            now = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            connection.execute(
                "INSERT INTO journal (serial, at, changes) VALUES (:serial, :at, :changes)",
                serial=serial,
                at=now,
                changes=list(map(to_json, decision.changes)),
            )
            for change in decision.changes:
                apply(change, connection, serial)
            note(connection, serial, decision.changes)
        return Recorded(serial=serial, changes=tuple(decision.changes)), decision.result

    def tell(self, recorded: Recorded) -> None:
        """Let everybody know what was committed."""
        self.serial = max(self.serial, recorded.serial)
        for listener in self.listeners:
            try:
                listener(recorded)
            except Exception:
                self.log.failure("a listener failed at serial {serial}", serial=recorded.serial)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, question: Callable[[Connection], T]) -> Deferred[T]:
        """Ask a function of a connection; only values come out."""
        return self._reading(self.read_now, question)

    def read_now(self, question: Callable[[Connection], T]) -> T:
        """The same in this thread."""
        with self.database.transaction() as connection:
            return question(connection)


# -- questions: functions of a connection ------------------------------------------------------------------------------


def last_serial(connection: Connection) -> int:
    """Serial of the last change; 0 if there never was one."""
    return int(connection.value("SELECT coalesce(max(serial), 0) FROM journal"))


def all_users(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every user's record by name."""
    return dict(connection.rows("SELECT name, record FROM users"))


def user_record(connection: Connection, name: str) -> dict[str, Any] | None:
    """One user's record."""
    record: dict[str, Any] | None = connection.value("SELECT record FROM users WHERE name = :name", name=name)
    return record


def all_indexes(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every index's options by full name."""
    return dict(connection.rows("SELECT name, options FROM indexes"))


def index_options(connection: Connection, name: str) -> dict[str, Any] | None:
    """One index's options."""
    options: dict[str, Any] | None = connection.value("SELECT options FROM indexes WHERE name = :name", name=name)
    return options


def all_tokens(connection: Connection) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every API token by its id: user and record."""
    rows = connection.rows('SELECT id, "user", record FROM tokens')
    return {id_: (user, record) for id_, user, record in rows}


def project_names(connection: Connection, index: str) -> list[str]:
    """The projects of an index that have a version, sorted."""
    found = 'SELECT DISTINCT project FROM releases WHERE "index" = :index ORDER BY project'
    return [project for (project,) in connection.rows(found, index=index)]


def project_releases(connection: Connection, index: str, project: str) -> dict[str, dict[str, Any]]:
    """A project's versions and their metadata."""
    found = 'SELECT version, metadata FROM releases WHERE "index" = :index AND project = :project'
    return dict(connection.rows(found, index=index, project=project))


def project_files(connection: Connection, index: str, project: str) -> list[FileSaved]:
    """Everything that a project has on an index, in the order in which it came."""
    found = 'SELECT record FROM files WHERE "index" = :index AND project = :project ORDER BY serial, path'
    return [_file(record) for (record,) in connection.rows(found, index=index, project=project)]


def index_files(connection: Connection, index: str) -> list[FileSaved]:
    """Everything that an index has, in the order in which it came."""
    found = 'SELECT record FROM files WHERE "index" = :index ORDER BY serial, path'
    return [_file(record) for (record,) in connection.rows(found, index=index)]


def index_paths(connection: Connection, index: str) -> set[str]:
    """Where the files of an index are, below it."""
    return {path for (path,) in connection.rows('SELECT path FROM files WHERE "index" = :index', index=index)}


def departure(connection: Connection, index: str) -> list[Change]:
    """What deleting an index is: its files go, each by a change of its own, so that their bytes follow."""
    return [*(FileGone(index=index, path=file.path) for file in index_files(connection, index)), IndexGone(name=index)]


def file_at(connection: Connection, index: str, path: str) -> FileSaved | None:
    """The file at an address."""
    found = 'SELECT record FROM files WHERE "index" = :index AND path = :path'
    record = connection.value(found, index=index, path=path)
    return None if record is None else _file(record)


def was_there(connection: Connection, index: str, path: str) -> bool:
    """Whether there was a file at an address that was deleted."""
    found = 'SELECT path FROM gone WHERE "index" = :index AND path = :path'
    return connection.row(found, index=index, path=path) is not None


def last_touched(connection: Connection, index: str, project: str) -> int:
    """Serial of the last change to anything in a project; 0 if there never was one."""
    found = 'SELECT serial FROM touched WHERE "index" = :index AND project = :project'
    return connection.value(found, index=index, project=project) or 0


def fact(connection: Connection, name: str) -> str | None:
    """Something about this ledger itself."""
    value: str | None = connection.value("SELECT value FROM facts WHERE name = :name", name=name)
    return value


def set_fact(connection: Connection, name: str, value: str) -> None:
    """Note something about this ledger itself; it has no serial."""
    upsert(connection, facts, name=name, value=value)


def begun(connection: Connection) -> str | None:
    """When the first change was recorded, YYYY-MM-DDTHH:MM:SS.ffffffZ; ``None``: nothing was."""
    at: str | None = connection.value("SELECT at FROM journal ORDER BY serial LIMIT 1")
    return at


def changes_since(connection: Connection, serial: int, most: int) -> list[tuple[int, str, list[Change]]]:
    """The journal after a serial: serial, time, changes."""
    found = "SELECT serial, at, changes FROM journal WHERE serial > :serial ORDER BY serial LIMIT :most"
    rows = connection.rows(found, serial=serial, most=most)
    return [(number, at, list(map(from_json, changes))) for number, at, changes in rows]


def _file(record: dict[str, Any]) -> FileSaved:
    made = from_json(record)
    assert isinstance(made, FileSaved)
    return made
