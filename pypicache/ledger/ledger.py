"""The ledger: every change has a serial, and is applied in the transaction that journals it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import Any, Generic, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypicache.core.changes import Change, FileGone, FileSaved, IndexGone, from_json, stamp, to_json
from pypicache.core.errors import BadInput
from pypicache.ledger.apply import apply, upsert
from pypicache.ledger.database import Connection, Database, Lost
from pypicache.ledger.outbox import note
from pypicache.ledger.schema import prepare
from pypicache.ledger.tables import facts
from pypicache.tasks import InThread

T = TypeVar("T")


@frozen
class Decision(Generic[T]):
    """What is to be recorded, and what whoever asked is told."""

    changes: Sequence[Change]
    result: T
    files: Sequence[Any] = ()  # what has to be kept before the changes are committed


@frozen(kw_only=True)
class Recorded:
    """What was committed: its serial and the changes."""

    serial: int
    changes: tuple[Change, ...]
    at: str  # when, as the journal has it


Decide = Callable[[Connection], "Decision[T]"]
"""Looks at the truth inside the transaction and says what to change; raises to change nothing. May be asked twice."""


MOST_TOGETHER = 50  # changes in one transaction; the first one waits for the last


@frozen(eq=False)
class _Asked(Generic[T]):
    decide: Decide[T]
    alone: bool
    told: Deferred[T] = field(factory=Deferred, init=False)


class _NotKept(Exception):
    """Files of several decisions could not be kept."""


_Outcome = tuple["Deferred[Any]", Recorded | None, Any]
"""Who is to be told, what was recorded, and the result or the failure."""


def _groups(waiting: Sequence[_Asked[Any]]) -> Iterator[list[_Asked[Any]]]:
    """What shares a transaction."""
    group: list[_Asked[Any]] = []
    for asked in waiting:
        if group and (asked.alone or group[-1].alone or len(group) == MOST_TOGETHER):
            yield group
            group = []
        group.append(asked)
    if group:
        yield group


class Ledger:
    """The truth, behind one writer thread and any number of reading ones.

    :param database: URL of the database.
    :param writing: runs one function after the other in the writer thread.
    :param reading: runs functions in other threads.
    :param now: gives the time, in seconds since the epoch.
    :param keep: keeps files that were decided on, all of a transaction together, so that they survive a power cut.
    :ivar serial: of the last change, as far as this process knows.
    :ivar listeners: told what was recorded, after the commit, in order.
    """

    log = Logger()

    def __init__(
        self,
        database: str,
        writing: InThread,
        reading: InThread,
        now: Callable[[], float] = time,
        keep: Callable[[Sequence[Any]], None] = lambda files: None,
    ) -> None:
        self.database = Database(database)
        self._writing = writing
        self._reading = reading
        self._now = now
        self._keep = keep
        self._waiting: deque[_Asked[Any]] = deque()
        self._called = False  # whether the writer thread was called and has not begun
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

    async def change(self, decide: Decide[T], *, alone: bool = False) -> T:
        """Decide inside a transaction, and record what was decided. A decision without changes makes no serial.

        Changes that wait for the writer thread at the same time share a transaction, and so one wait for the disk. Each
        sees those before it; one that fails changes nothing of the others.

        A caller that is cancelled leaves; what is committed even so is told to the listeners.

        :param alone: what was decided before must be committed, because deciding does more than look: it removes files,
            for instance.
        """
        asked: _Asked[T] = _Asked(decide, alone)
        self._waiting.append(asked)
        if not self._called:
            self._called = True
            self._writing(self._write).addCallbacks(self._written, self._failed)
        return await asked.told

    def _write(self) -> list[_Outcome]:
        """Decide and record what waits; for the writer thread."""
        self._called = False  # from here on, whatever comes may come too late for this round
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        return [outcome for group in _groups(waiting) for outcome in self._together(group)]

    def _together(self, group: Sequence[_Asked[Any]]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        try:
            if len(group) == 1:
                return [(group[0].told, *self.change_now(group[0].decide))]
            with self.database.transaction(writing=True) as connection:
                serial = last_serial(connection)
                files: list[Any] = []
                for asked in group:
                    try:
                        recorded, decision = connection.part(
                            partial(self._change, connection, asked.decide, serial + 1)
                        )
                    except Lost:
                        raise
                    except Exception:
                        outcomes.append((asked.told, None, Failure()))
                    else:
                        serial += recorded is not None
                        files += decision.files
                        outcomes.append((asked.told, recorded, decision.result))
                try:
                    self._keep(files)
                except Exception as error:
                    raise _NotKept from error
        except _NotKept:  # only those whose file it is are to be told
            return [outcome for asked in group for outcome in self._together([asked])]
        except Exception:
            failure = Failure()
            return [(asked.told, None, failure) for asked in group]
        return outcomes

    def _written(self, outcomes: Sequence[_Outcome]) -> None:
        for _, recorded, _ in outcomes:
            if recorded is not None:
                self.tell(recorded)
        for told, _, result in outcomes:
            told.callback(result)

    def _failed(self, failure: Failure) -> None:
        """The writer thread does not run."""
        self._called = False
        while self._waiting:
            self._waiting.popleft().told.errback(failure)

    def change_now(self, decide: Decide[T]) -> tuple[Recorded | None, T]:
        """The same in this thread, without telling anybody; for the writer thread, and before the reactor runs."""
        with self.database.transaction(writing=True) as connection:
            recorded, decision = self._change(connection, decide, None)
            self._keep(decision.files)
        return recorded, decision.result

    def _change(
        self, connection: Connection, decide: Decide[T], serial: int | None
    ) -> tuple[Recorded | None, Decision[T]]:
        decision = decide(connection)
        if not decision.changes:
            return None, decision
        serial = serial or 1 + last_serial(connection)
        now = stamp(datetime.fromtimestamp(self._now(), UTC))
        connection.execute(
            "INSERT INTO journal (serial, at, changes) VALUES (:serial, :at, :changes)",
            serial=serial,
            at=now,
            changes=list(map(to_json, decision.changes)),
        )
        for change in decision.changes:
            apply(change, connection, serial)
        note(connection, serial, decision.changes)
        return Recorded(serial=serial, changes=tuple(decision.changes), at=now), decision

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


def project_versions(connection: Connection, index: str, project: str) -> list[str]:
    """A project's versions, sorted as texts; their metadata, which may be large, is not read."""
    found = 'SELECT version FROM releases WHERE "index" = :index AND project = :project'
    return sorted(version for (version,) in connection.rows(found, index=index, project=project))


def project_releases(connection: Connection, index: str, project: str) -> dict[str, dict[str, Any]]:
    """A project's versions and their metadata."""
    found = 'SELECT version, metadata FROM releases WHERE "index" = :index AND project = :project'
    return dict(connection.rows(found, index=index, project=project))


def project_files(connection: Connection, index: str, project: str) -> list[FileSaved]:
    """Everything that a project has on an index, in the order in which it came."""
    found = 'SELECT record FROM files WHERE "index" = :index AND project = :project ORDER BY serial, path'
    return [_file(record) for (record,) in connection.rows(found, index=index, project=project)]


def files_named(connection: Connection, index: str, project: str, name: str) -> list[FileSaved]:
    """The files of a project with this name, and what lies beside them, in the order in which it came.

    Others may be among them; what matters is that not all of thousands are read.
    """
    found = (
        'SELECT record FROM files WHERE "index" = :index AND project = :project'
        " AND path LIKE :path ESCAPE '!' ORDER BY serial, path"
    )
    literal = name.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    rows = connection.rows(found, index=index, project=project, path=f"%/{literal}%")
    return [_file(record) for (record,) in rows]


def release_metadata(connection: Connection, index: str, project: str, version: str) -> dict[str, Any] | None:
    """One version's metadata; ``None`` if there is no such version."""
    found = 'SELECT metadata FROM releases WHERE "index" = :index AND project = :project AND version = :version'
    metadata: dict[str, Any] | None = connection.value(found, index=index, project=project, version=version)
    return metadata


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


def moment(connection: Connection, serial: int) -> str:
    """When a change was recorded, as the journal has it; empty if it is not there."""
    at: str | None = connection.value("SELECT at FROM journal WHERE serial = :serial", serial=serial)
    return at or ""


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
