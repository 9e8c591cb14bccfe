"""What others have yet to be told of changes in an index: noted in the transaction that records them.

::

    record --> journal, tables, outbox: one transaction --> told, as often as it takes --> taken out of the outbox

So neither a stop nor a crash loses any of it; what was told just before one may be told again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from pypicache.core.changes import (
    Change,
    FileGone,
    FileSaved,
    IndexGone,
    IndexSaved,
    ReleaseGone,
    ReleaseSaved,
    from_json,
)
from pypicache.core.stage import HOOKS
from pypicache.ledger.apply import delete
from pypicache.ledger.database import Connection
from pypicache.ledger.tables import outbox

WEBHOOK, TRIGGER = HOOKS
"""Who is told: of everything that changes in the index; of each release to which files came."""


@frozen
class Queue:
    """What is delivered one after the other; nothing in one queue waits for another."""

    index: str
    hook: str  # WEBHOOK or TRIGGER
    about: str = ""  # of a trigger: the release, "project/version"


@frozen(kw_only=True)
class Letter:
    """One thing to be told."""

    serial: int
    at: str  # when it was recorded, YYYY-MM-DDTHH:MM:SS.ffffffZ
    changes: Sequence[Change]  # in the index


def note(connection: Connection, serial: int, changes: Iterable[Change]) -> None:
    """Note who is to be told of changes that were just applied, and forget what nobody is to be told any more."""
    changed: dict[str, list[Change]] = {}
    for change in changes:
        match change:
            case FileSaved() | FileGone() | ReleaseSaved() | ReleaseGone():
                changed.setdefault(change.index, []).append(change)
            case IndexSaved():
                for silent in (hook for hook in HOOKS if not change.options.get(hook)):
                    delete(connection, outbox, index=change.name, hook=silent)
            case IndexGone():
                delete(connection, outbox, index=change.name)
    for index, some in changed.items():
        options = connection.value("SELECT options FROM indexes WHERE name = :index", index=index)
        for queue in queues_of(index, options or {}, some):
            connection.execute(
                'INSERT INTO outbox ("index", hook, about, serial) VALUES (:index, :hook, :about, :serial)',
                serial=serial,
                **asdict(queue),
            )


def queues_of(index: str, options: Mapping[str, Any], changes: Iterable[Change]) -> list[Queue]:
    """Where changes in an index are noted."""
    found = [Queue(index, WEBHOOK)] if options.get(WEBHOOK) else []
    if options.get(TRIGGER):
        releases = {
            f"{change.project}/{change.version}": None
            for change in changes
            if isinstance(change, FileSaved) and change.kind == "releasefile"
        }
        found += [Queue(index, TRIGGER, about) for about in releases]
    return found


def waiting(connection: Connection) -> list[Queue]:
    """All queues that are not empty."""
    found = 'SELECT DISTINCT "index", hook, about FROM outbox ORDER BY "index", hook, about'
    return [Queue(*row) for row in connection.rows(found)]


def first(connection: Connection, queue: Queue) -> Letter | None:
    """What comes first in a queue; ``None``: it is empty."""
    row = connection.row(
        "SELECT journal.serial, journal.at, journal.changes FROM journal JOIN outbox ON outbox.serial = journal.serial"
        ' WHERE outbox."index" = :index AND outbox.hook = :hook AND outbox.about = :about'
        " ORDER BY outbox.serial LIMIT 1",
        **asdict(queue),
    )
    if row is None:
        return None
    serial, at, records = row
    changes = [from_json(record) for record in records if record.get("index") == queue.index]
    return Letter(serial=serial, at=at, changes=changes)


def take_out(connection: Connection, queue: Queue, serial: int) -> None:
    """Forget something that was told, or is not told any more."""
    delete(connection, outbox, serial=serial, **asdict(queue))
