"""The ledger: every change has a serial, and is applied in the transaction that journals it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import frozen
from sqlalchemy import Connection, func, insert, select
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pypicache.core.changes import Change, FileGone, FileSaved, IndexGone, from_json, to_json
from pypicache.core.errors import BadInput
from pypicache.ledger.apply import apply, upsert
from pypicache.ledger.engines import engine_of
from pypicache.ledger.schema import lock, prepare
from pypicache.ledger.tables import facts, files, gone, indexes, journal, releases, tokens, touched, users
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
    at: str = ""  # when, as the journal has it; empty: whoever tells does not know


Decide = Callable[[Connection], "Decision[T]"]
"""Looks at the truth inside the transaction and says what to change; raises to change nothing."""


class Ledger:
    """The truth, behind one writer thread and any number of reading ones.

    :param database: URL of the database.
    :param writing: runs one function after the other in the writer thread.
    :param reading: runs functions in other threads.
    :ivar serial: of the last change, as far as this process knows.
    :ivar listeners: told what was recorded, after the commit, in order.
    """

    log = Logger()

    def __init__(self, database: str, writing: InThread, reading: InThread) -> None:
        self._database = database
        self.engine = engine_of(database)
        self._writing = writing
        self._reading = reading
        self.serial = 0
        self.listeners: list[Callable[[Recorded], None]] = []

    def open(self, backups: Path) -> None:
        """Bring the tables up to date, with a backup before anything is changed. Blocks.

        :raises BadInput: the database cannot be used, or is of a newer version.
        """
        if self.engine.dialect.name == "sqlite" and self.engine.url.database:
            # Passwords and upstream credentials are in it; the files that SQLite puts beside it get the same mode.
            try:
                os.close(os.open(self.engine.url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except OSError as error:
                raise BadInput(f"database = {self.engine.url}: it cannot be used: {error.strerror}") from error
        prepare(self.engine, self._database, backups)
        with self.engine.connect() as connection:
            self.serial = connection.execute(select(func.coalesce(func.max(journal.c.serial), 0))).scalar_one()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

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
        with self.engine.connect() as connection:
            connection.info["writes"] = True
            try:
                with connection.begin():
                    lock(connection)
                    decision = decide(connection)
                    if not decision.changes:
                        return None, decision.result
                    serial = 1 + connection.execute(select(func.coalesce(func.max(journal.c.serial), 0))).scalar_one()
                    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                    connection.execute(
                        insert(journal).values(serial=serial, at=now, changes=list(map(to_json, decision.changes)))
                    )
                    for change in decision.changes:
                        apply(change, connection, serial)
            finally:
                connection.info["writes"] = False
        return Recorded(serial=serial, changes=tuple(decision.changes), at=now), decision.result

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
        with self.engine.connect() as connection:
            return question(connection)


# -- questions: functions of a connection ------------------------------------------------------------------------------


def all_users(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every user's record by name."""
    return {row.name: row.record for row in connection.execute(select(users.c.name, users.c.record))}


def user_record(connection: Connection, name: str) -> dict[str, Any] | None:
    """One user's record."""
    return connection.execute(select(users.c.record).where(users.c.name == name)).scalar_one_or_none()


def all_indexes(connection: Connection) -> dict[str, dict[str, Any]]:
    """Every index's options by full name."""
    return {row.name: row.options for row in connection.execute(select(indexes.c.name, indexes.c.options))}


def index_options(connection: Connection, name: str) -> dict[str, Any] | None:
    """One index's options."""
    return connection.execute(select(indexes.c.options).where(indexes.c.name == name)).scalar_one_or_none()


def all_tokens(connection: Connection) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every API token by its id: user and record."""
    rows = connection.execute(select(tokens.c.id, tokens.c.user, tokens.c.record))
    return {id_: (user, record) for id_, user, record in rows}


def project_names(connection: Connection, index: str) -> list[str]:
    """The projects of an index that have a version, sorted."""
    found = select(releases.c.project).where(releases.c.index == index).distinct().order_by(releases.c.project)
    return list(connection.execute(found).scalars())


def project_versions(connection: Connection, index: str, project: str) -> list[str]:
    """A project's versions, sorted as texts; their metadata, which may be large, is not read."""
    found = select(releases.c.version).where((releases.c.index == index) & (releases.c.project == project))
    return sorted(connection.execute(found).scalars())


def project_releases(connection: Connection, index: str, project: str) -> dict[str, dict[str, Any]]:
    """A project's versions and their metadata."""
    found = select(releases.c.version, releases.c.metadata).where(
        (releases.c.index == index) & (releases.c.project == project)
    )
    return {row.version: row[1] for row in connection.execute(found)}


def project_files(connection: Connection, index: str, project: str) -> list[FileSaved]:
    """Everything that a project has on an index, in the order in which it came."""
    found = (
        select(files.c.record)
        .where((files.c.index == index) & (files.c.project == project))
        .order_by(files.c.serial, files.c.path)
    )
    return [_file(record) for record in connection.execute(found).scalars()]


def files_named(connection: Connection, index: str, project: str, name: str) -> list[FileSaved]:
    """The files of a project with this name, and what lies beside them, in the order in which it came.

    Others may be among them; what matters is that not all of thousands are read.
    """
    found = (
        select(files.c.record)
        .where((files.c.index == index) & (files.c.project == project))
        .where(files.c.path.contains("/" + name, autoescape=True))
        .order_by(files.c.serial, files.c.path)
    )
    return [_file(record) for record in connection.execute(found).scalars()]


def release_metadata(connection: Connection, index: str, project: str, version: str) -> dict[str, Any] | None:
    """One version's metadata; ``None`` if there is no such version."""
    found = select(releases.c.metadata).where(
        (releases.c.index == index) & (releases.c.project == project) & (releases.c.version == version)
    )
    return connection.execute(found).scalar_one_or_none()


def index_files(connection: Connection, index: str) -> list[FileSaved]:
    """Everything that an index has, in the order in which it came."""
    found = select(files.c.record).where(files.c.index == index).order_by(files.c.serial, files.c.path)
    return [_file(record) for record in connection.execute(found).scalars()]


def departure(connection: Connection, index: str) -> list[Change]:
    """What deleting an index is: its files go, each by a change of its own, so that their bytes follow."""
    return [*(FileGone(index=index, path=file.path) for file in index_files(connection, index)), IndexGone(name=index)]


def file_at(connection: Connection, index: str, path: str) -> FileSaved | None:
    """The file at an address."""
    found = select(files.c.record).where((files.c.index == index) & (files.c.path == path))
    record = connection.execute(found).scalar_one_or_none()
    return None if record is None else _file(record)


def was_there(connection: Connection, index: str, path: str) -> bool:
    """Whether there was a file at an address that was deleted."""
    return (
        connection.execute(select(gone.c.path).where((gone.c.index == index) & (gone.c.path == path))).first()
        is not None
    )


def last_touched(connection: Connection, index: str, project: str) -> int:
    """Serial of the last change to anything in a project; 0 if there never was one."""
    found = select(touched.c.serial).where((touched.c.index == index) & (touched.c.project == project))
    return connection.execute(found).scalar_one_or_none() or 0


def moment(connection: Connection, serial: int) -> str:
    """When a change was recorded, as the journal has it; empty if it is not there."""
    return connection.execute(select(journal.c.at).where(journal.c.serial == serial)).scalar_one_or_none() or ""


def fact(connection: Connection, name: str) -> str | None:
    """Something about this ledger itself."""
    return connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar_one_or_none()


def set_fact(connection: Connection, name: str, value: str) -> None:
    """Note something about this ledger itself; it has no serial."""
    upsert(connection, facts, name=name, value=value)


def changes_since(connection: Connection, serial: int, most: int) -> list[tuple[int, str, list[Change]]]:
    """The journal after a serial: serial, time, changes."""
    found = select(journal).where(journal.c.serial > serial).order_by(journal.c.serial).limit(most)
    return [(row.serial, row.at, list(map(from_json, row.changes))) for row in connection.execute(found)]


def _file(record: dict[str, Any]) -> FileSaved:
    made = from_json(record)
    assert isinstance(made, FileSaved)
    return made
