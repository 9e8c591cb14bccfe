"""Pages as they were compressed, remembered in ``memory.sqlite`` so that nothing is compressed twice."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from attrs import frozen
from twisted.internet.defer import Deferred

from pypicache.memory import Memory


@frozen(kw_only=True)
class Place:
    """Which page it is, and in which form."""

    prefix: str  # path of the outside URL, put before the URLs of files
    index: str
    project: str
    format: str
    coding: str


@frozen(kw_only=True)
class Coded:
    """The page, in one content coding."""

    digest: str  # of the body before it was compressed, as it stands in entity tags
    body: bytes


class CodedPages:
    """What was compressed, up to a number of bytes; what was stored first goes first.

    :param written_by: names the code that writes pages; what another one wrote is not used.
    """

    def __init__(self, memory: Memory, written_by: str, most_bytes: int) -> None:
        self._memory = memory
        self._written_by = written_by
        self._most_bytes = most_bytes

    def get(self, place: Place, revision: str) -> Deferred[Coded | None]:
        """A page of this revision; ``None`` if it is not there, or damaged."""

        def ask(connection: sqlite3.Connection) -> Coded | None:
            row = connection.execute(
                "SELECT digest, body, sha256 FROM coded WHERE prefix = ? AND idx = ? AND project = ? AND format = ?"
                " AND coding = ? AND revision = ? AND written_by = ?",
                (*_key(place), revision, self._written_by),
            ).fetchone()
            if row is None or not isinstance(row[0], str) or not isinstance(row[1], bytes):
                return None
            return Coded(digest=row[0], body=row[1]) if sha256(row[1]).hexdigest() == row[2] else None

        return self._memory.database.read(ask, None)

    def put(self, place: Place, revision: str, coded: Coded) -> Deferred[None]:
        """Store a page, instead of what other revisions of it there are."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM coded WHERE idx = ? AND project = ? AND (revision <> ? OR written_by <> ?)",
                (place.index, place.project, revision, self._written_by),
            )
            size = len(coded.body)
            if size > self._most_bytes:
                return
            connection.execute(
                "INSERT OR REPLACE INTO coded (prefix, idx, project, format, coding, revision, written_by, digest,"
                " body, sha256, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *_key(place), revision, self._written_by, coded.digest, coded.body,
                    sha256(coded.body).hexdigest(), size,
                ),
            )  # fmt: skip
            (total,) = connection.execute("SELECT SUM(size) FROM coded").fetchone()
            for row, size in connection.execute("SELECT number, size FROM coded ORDER BY number").fetchall():
                if total <= self._most_bytes:
                    break
                connection.execute("DELETE FROM coded WHERE number = ?", (row,))
                total -= size

        return self._memory.database.write(change)

    def forget(self, project: str) -> Deferred[None]:
        """Something of a project is gone: none of its pages stays, of whatever index."""
        return self._memory.database.write(
            lambda connection: connection.execute("DELETE FROM coded WHERE project = ?", (project,))
        )


def _key(place: Place) -> tuple[str, ...]:
    return place.prefix, place.index, place.project, place.format, place.coding
