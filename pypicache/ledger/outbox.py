"""What others have yet to be told of changes in an index: noted in the transaction that records them.

::

    record --> journal, tables, outbox: one transaction --> told, as often as it takes --> taken out of the outbox

So neither a stop nor a crash loses any of it; what was told just before one may be told again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, delete, insert, select

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
from pypicache.ledger.tables import indexes, journal, outbox

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
                silent = [hook for hook in HOOKS if not change.options.get(hook)]
                connection.execute(delete(outbox).where((outbox.c.index == change.name) & outbox.c.hook.in_(silent)))
            case IndexGone():
                connection.execute(delete(outbox).where(outbox.c.index == change.name))
    for index, some in changed.items():
        options = connection.execute(select(indexes.c.options).where(indexes.c.name == index)).scalar_one_or_none()
        for queue in queues_of(index, options or {}, some):
            row = {"serial": serial, "index": index, "hook": queue.hook, "about": queue.about}
            connection.execute(insert(outbox).values(row))


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
    columns = (outbox.c.index, outbox.c.hook, outbox.c.about)
    return [Queue(*row) for row in connection.execute(select(*columns).distinct().order_by(*columns))]


def first(connection: Connection, queue: Queue) -> Letter | None:
    """What comes first in a queue; ``None``: it is empty."""
    found = (
        select(journal.c.serial, journal.c.at, journal.c.changes)
        .join(outbox, outbox.c.serial == journal.c.serial)
        .where(_in(queue))
        .order_by(outbox.c.serial)
        .limit(1)
    )
    row = connection.execute(found).first()
    if row is None:
        return None
    changes = [from_json(record) for record in row.changes if record.get("index") == queue.index]
    return Letter(serial=row.serial, at=row.at, changes=changes)


def take_out(connection: Connection, queue: Queue, serial: int) -> None:
    """Forget something that was told, or is not told any more."""
    connection.execute(delete(outbox).where(_in(queue) & (outbox.c.serial == serial)))


def _in(queue: Queue) -> Any:
    return (outbox.c.index == queue.index) & (outbox.c.hook == queue.hook) & (outbox.c.about == queue.about)
