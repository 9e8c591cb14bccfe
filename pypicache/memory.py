"""What can be fetched again, remembered in ``memory.sqlite``: upstream pages, and which files are held.

The file may be deleted at any time. Losing it loses freshness and access times, never a file: the shelf on disk is
walked at every start, and what is not remembered is read in again. A database that turns out to be broken is set aside
and begun anew. A disk that is full costs the new memories only.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pypicache.calm import WhenCalm
from pypicache.memory_database import MemoryDatabase
from pypicache.tasks import InThread


@frozen(kw_only=True)
class Page:
    """One project's page as an upstream sent it."""

    source: str
    url: str
    content_type: str
    body: bytes
    etag: str | None
    modified: str | None
    serial: int | None
    checked: float  # seconds since the epoch
    missing: float | None = None  # seconds since the epoch


@frozen(kw_only=True)
class Held:
    """One file that is on the shelf."""

    key: str
    project: str
    sha256: str
    size: int  # bytes
    made: bool = False
    used: float = 0.0  # seconds since the epoch

    @property
    def index(self) -> str:
        """The full name of the index it belongs to."""
        return "/".join(self.key.split("/", 2)[:2])


@frozen(kw_only=True)
class Content:
    """Equal bytes on the shelf, under one or more keys."""

    sha256: str
    size: int  # bytes
    used: float  # seconds since the epoch; the latest of all its keys


class Memory:
    """What is remembered of mirrors.

    :ivar database: where; its questions are functions of a connection.
    """

    log = Logger()

    def __init__(self, path: Path, in_thread: InThread, when_calm: WhenCalm) -> None:
        self.database = MemoryDatabase(path, in_thread, when_calm)

    def close(self) -> Deferred[None]:
        """Close the database."""
        return self.database.close()

    # -- pages -----------------------------------------------------------------------------------------------------

    def page(self, index: str, project: str) -> Deferred[Page | None]:
        """What is remembered of a project."""

        def ask(connection: sqlite3.Connection) -> Page | None:
            row = connection.execute(
                "SELECT source, url, content_type, body, etag, modified, serial, checked, missing FROM pages"
                " WHERE idx = ? AND project = ?",
                (index, project),
            ).fetchone()
            if row is None:
                return None
            try:
                body = zlib.decompress(row[3])
            except zlib.error as error:
                self.log.warn("the remembered page of {project} is damaged: {why}", project=project, why=str(error))
                return None
            return Page(
                source=row[0], url=row[1], content_type=row[2], body=body, etag=row[4], modified=row[5],
                serial=row[6], checked=row[7], missing=row[8],
            )  # fmt: skip

        return self.database.read(ask, None, (index, project))

    def save_page(self, index: str, project: str, page: Page, used: float) -> Deferred[None]:
        """Remember a page instead of what was remembered before."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    index, project, page.source, page.url, page.content_type, zlib.compress(page.body, 3), page.etag,
                    page.modified, page.serial, page.checked, page.missing, used,
                ),
            )  # fmt: skip

        self.database.note(index, project)
        return self.database.write(change, patient=True)

    def confirm_page(self, index: str, project: str, checked: float, missing: float | None) -> Deferred[None]:
        """The upstream was asked again: when, and since when it says that there is no such project."""
        return self.database.write(
            lambda connection: connection.execute(
                "UPDATE pages SET checked = ?, missing = ? WHERE idx = ? AND project = ?",
                (checked, missing, index, project),
            )
        )

    def forget_page(self, index: str, project: str) -> Deferred[None]:
        """The project is gone."""

        def change(connection: sqlite3.Connection) -> None:
            for table in ("pages", "coded"):
                connection.execute(f"DELETE FROM {table} WHERE idx = ? AND project = ?", (index, project))  # noqa: S608 -- constants

        return self.database.write(change)

    def forget_index(self, index: str) -> Deferred[None]:
        """The index is gone: forget its pages and its files."""

        def change(connection: sqlite3.Connection) -> None:
            for table in ("pages", "files", "coded"):
                connection.execute(f"DELETE FROM {table} WHERE idx = ?", (index,))  # noqa: S608 -- constants

        return self.database.write(change)

    def pages_used(
        self, index: str, checked_before: float, used_after: float, most: int
    ) -> Deferred[list[tuple[str, float]]]:
        """Projects that clients used lately and whose pages were not confirmed lately: name and when confirmed."""
        return self.database.read(
            lambda connection: connection.execute(
                "SELECT project, checked FROM pages WHERE idx = ? AND checked < ? AND used > ? AND missing IS NULL"
                " ORDER BY checked LIMIT ?",
                (index, checked_before, used_after, most),
            ).fetchall(),
            [],
        )

    def projects(self, index: str) -> Deferred[list[str]]:
        """The projects of an index that are known here: by a page or by a file that is held."""
        return self.database.read(
            lambda connection: [
                name
                for (name,) in connection.execute(
                    "SELECT project FROM pages WHERE idx = ?1 AND missing IS NULL"
                    " UNION SELECT project FROM files WHERE idx = ?1 ORDER BY 1",
                    (index,),
                )
            ],
            [],
        )

    def count_projects(self, index: str) -> Deferred[int]:
        """How many projects of an index have a page here."""
        return self.database.read(
            lambda connection: connection.execute(
                "SELECT COUNT(*) FROM pages WHERE idx = ? AND missing IS NULL", (index,)
            ).fetchone()[0],
            0,
        )

    # -- files -----------------------------------------------------------------------------------------------------

    def held(self, index: str, project: str) -> Deferred[list[Held]]:
        """The files of a project that are on the shelf."""
        return self._held("idx = ? AND project = ?", (index, project), (index, project))

    def held_in(self, index: str) -> Deferred[list[Held]]:
        """All files of an index that are on the shelf."""
        return self._held("idx = ?", (index,))

    def held_at(self, key: str) -> Deferred[list[Held]]:
        """The file under this key, if it is on the shelf, and its metadata."""
        return self._held("key IN (?, ?)", (key, key + ".metadata"))

    def held_with(self, sha256: str) -> Deferred[list[Held]]:
        """The files on the shelf, of any index, that have this content."""
        return self._held("sha256 = ?", (sha256,), sha256)

    def oldest(self, after: tuple[float, str], most: int) -> Deferred[list[Content]]:
        """What was not used for the longest time under any of its names, from ``after`` (last use, sha256) on.

        Metadata that we made ourselves is not among it: it is small, and clients' caches may still point to it.
        """
        return self.database.read(
            lambda connection: [
                Content(sha256=sha256, size=size, used=used)
                for sha256, size, used in connection.execute(
                    "SELECT sha256, MAX(size), MAX(used) AS last FROM files WHERE NOT made GROUP BY sha256"
                    " HAVING (last, sha256) > (?, ?) ORDER BY last, sha256 LIMIT ?",
                    (*after, most),
                )
            ],
            [],
        )

    def _held(self, condition: str, values: tuple[object, ...], about: Hashable | None = None) -> Deferred[list[Held]]:
        question = f"SELECT key, project, sha256, size, made, used FROM files WHERE {condition}"  # noqa: S608 -- constants
        return self.database.read(
            lambda connection: [
                Held(key=key, project=project, sha256=sha256, size=size, made=bool(made), used=used)
                for key, project, sha256, size, made, used in connection.execute(question, values)
            ],
            [],
            about,
        )

    def hold(self, files: Sequence[Held]) -> Deferred[None]:
        """Remember files that came onto the shelf."""
        rows = [(file.key, file.index, file.project, file.sha256, file.size, file.made, file.used) for file in files]
        for file in files:
            self.database.note(file.index, file.project, file.sha256)
        return self.database.write(
            lambda connection: connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        )

    def drop(self, keys: Iterable[str]) -> Deferred[None]:
        """Forget files that left the shelf."""
        rows = [(key,) for key in keys]
        return self.database.write(lambda connection: connection.executemany("DELETE FROM files WHERE key = ?", rows))

    def keys(self) -> Deferred[set[str]]:
        """Every key that is remembered as held."""
        return self.database.read(
            lambda connection: {key for (key,) in connection.execute("SELECT key FROM files")}, set()
        )

    def amount(self) -> Deferred[tuple[int, int]]:
        """Number of files, and bytes that they take on disk; equal content counts once (hard links)."""

        def ask(connection: sqlite3.Connection) -> tuple[int, int]:
            (files,) = connection.execute("SELECT COUNT(*) FROM files").fetchone()
            (size,) = connection.execute(
                "SELECT COALESCE(SUM(size), 0) FROM (SELECT DISTINCT sha256, size FROM files)"
            ).fetchone()
            return files, size

        return self.database.read(ask, (0, 0))

    def note_used(self, pages: Sequence[tuple[float, str, str]], files: Sequence[tuple[float, str]]) -> Deferred[None]:
        """Write down when pages ``(when, index, project)`` and files ``(when, key)`` were last used."""

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE pages SET used = ? WHERE idx = ? AND project = ?", pages)
            connection.executemany("UPDATE files SET used = ? WHERE key = ?", files)

        return self.database.write(change)
