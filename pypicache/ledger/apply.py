"""What each change does to the tables; run inside the transaction that journals it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from sqlalchemy import Connection, Table, delete

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
from pypicache.ledger.tables import files, gone, indexes, releases, tokens, touched, users


def _insert(connection: Connection, table: Table) -> Any:
    # Each dialect is several MB of memory, and a ledger needs one of them.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)


def upsert(connection: Connection, table: Table, kept: Sequence[str] = (), **values: object) -> None:
    """Insert a row, or replace what another one with the same key says.

    :param kept: columns that stay as they are in a row that is there.
    """
    statement = _insert(connection, table).values(**values)
    keys = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in values if name not in {*keys, *kept}}
    if rest:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest))
    else:
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys))


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
    connection.execute(delete(tokens).where(tokens.c.user == change.name))
    connection.execute(delete(users).where(users.c.name == change.name))


@apply.register
def _(change: IndexSaved, connection: Connection, serial: int) -> None:
    upsert(connection, indexes, name=change.name, options=dict(change.options))


@apply.register
def _(change: IndexGone, connection: Connection, serial: int) -> None:
    for table in (files, gone, releases, touched):
        connection.execute(delete(table).where(table.c.index == change.name))
    connection.execute(delete(indexes).where(indexes.c.name == change.name))


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
    here = (files.c.index == change.index) & (files.c.project == change.project) & (files.c.version == change.version)
    for (path,) in connection.execute(files.select().with_only_columns(files.c.path).where(here)).all():
        upsert(connection, gone, index=change.index, path=path)
    connection.execute(delete(files).where(here))
    connection.execute(
        delete(releases).where(
            (releases.c.index == change.index)
            & (releases.c.project == change.project)
            & (releases.c.version == change.version)
        )
    )
    touch(connection, serial, change.index, change.project)


@apply.register
def _(change: FileSaved, connection: Connection, serial: int) -> None:
    connection.execute(delete(gone).where((gone.c.index == change.index) & (gone.c.path == change.path)))
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
    here = (files.c.index == change.index) & (files.c.path == change.path)
    found = connection.execute(files.select().with_only_columns(files.c.project).where(here)).first()
    upsert(connection, gone, index=change.index, path=change.path)
    connection.execute(delete(files).where(here))
    if found is not None:
        touch(connection, serial, change.index, found[0])


@apply.register
def _(change: TokenSaved, connection: Connection, serial: int) -> None:
    upsert(connection, tokens, id=change.id, user=change.user, record=dict(change.record))


@apply.register
def _(change: TokenGone, connection: Connection, serial: int) -> None:
    connection.execute(delete(tokens).where(tokens.c.id == change.id))
