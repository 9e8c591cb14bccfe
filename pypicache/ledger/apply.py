"""What each change does to the tables; run inside the transaction that journals it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, singledispatch

from pypicache.core.changes import (
    FileGone,
    FileSaved,
    IndexGone,
    IndexSaved,
    ReleaseGone,
    ReleaseSaved,
    TokenGone,
    TokenSaved,
    UserGone,
    UserSaved,
    to_json,
)
from pypicache.ledger.database import Connection
from pypicache.ledger.tables import Table, files, gone, indexes, quoted, releases, tokens, touched, users


def upsert(connection: Connection, table: Table, kept: Sequence[str] = (), **values: object) -> None:
    """Insert a row, or replace what another one with the same key says.

    :param kept: columns that stay as they are in a row that is there.
    """
    connection.execute(_upserting(table.name, tuple(table.key), tuple(kept), tuple(values)), **values)


@cache
def _upserting(table: str, key: Sequence[str], kept: Sequence[str], names: Sequence[str]) -> str:
    changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in {*key, *kept})
    return (
        f"INSERT INTO {table} ({quoted(names)}) VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608 -- names of our own
        f" ON CONFLICT ({quoted(key)}) DO {f'UPDATE SET {changed}' if changed else 'NOTHING'}"
    )


def delete(connection: Connection, table: Table, **where: object) -> None:
    """Delete the rows that have all of these values."""
    there = " AND ".join(f'"{name}" = :{name}' for name in where)
    connection.execute(f"DELETE FROM {table.name} WHERE {there}", **where)  # noqa: S608 -- names of our own


def touch(connection: Connection, serial: int, index: str, project: str) -> None:
    """Note that something in a project changed."""
    upsert(connection, touched, index=index, project=project, serial=serial)


@singledispatch
def apply(change: object, connection: Connection, serial: int) -> None:
    """Bring the tables to the state that a change says.

    :raises TypeError: it is no change.
    """
    raise TypeError(f"{change!r} is no change")


@apply.register
def _(change: UserSaved, connection: Connection, serial: int) -> None:
    upsert(connection, users, name=change.name, record=dict(change.record))


@apply.register
def _(change: UserGone, connection: Connection, serial: int) -> None:
    delete(connection, tokens, user=change.name)
    delete(connection, users, name=change.name)


@apply.register
def _(change: IndexSaved, connection: Connection, serial: int) -> None:
    upsert(connection, indexes, name=change.name, options=dict(change.options))


@apply.register
def _(change: IndexGone, connection: Connection, serial: int) -> None:
    for table in (files, gone, releases, touched):
        delete(connection, table, index=change.name)
    delete(connection, indexes, name=change.name)


@apply.register
def _(change: ReleaseSaved, connection: Connection, serial: int) -> None:
    upsert(
        connection,
        releases,
        index=change.index,
        project=change.project,
        version=change.version,
        metadata=dict(change.metadata),
    )
    touch(connection, serial, change.index, change.project)


@apply.register
def _(change: ReleaseGone, connection: Connection, serial: int) -> None:
    release = {"index": change.index, "project": change.project, "version": change.version}
    found = 'SELECT path FROM files WHERE "index" = :index AND project = :project AND version = :version'
    for (path,) in connection.rows(found, **release):
        upsert(connection, gone, index=change.index, path=path)
    delete(connection, files, **release)
    delete(connection, releases, **release)
    touch(connection, serial, change.index, change.project)


@apply.register
def _(change: FileSaved, connection: Connection, serial: int) -> None:
    delete(connection, gone, index=change.index, path=change.path)
    upsert(
        connection,
        files,
        kept=["serial"],  # files are listed in the order in which they came, whatever is said of them later
        index=change.index,
        path=change.path,
        project=change.project,
        version=change.version,
        kind=change.kind,
        sha256=change.hashes["sha256"],
        serial=serial,
        record=to_json(change),
    )
    touch(connection, serial, change.index, change.project)


@apply.register
def _(change: FileGone, connection: Connection, serial: int) -> None:
    here = {"index": change.index, "path": change.path}
    project = connection.value('SELECT project FROM files WHERE "index" = :index AND path = :path', **here)
    upsert(connection, gone, **here)
    delete(connection, files, **here)
    if project is not None:
        touch(connection, serial, change.index, project)


@apply.register
def _(change: TokenSaved, connection: Connection, serial: int) -> None:
    upsert(connection, tokens, id=change.id, user=change.user, record=dict(change.record))


@apply.register
def _(change: TokenGone, connection: Connection, serial: int) -> None:
    delete(connection, tokens, id=change.id)
