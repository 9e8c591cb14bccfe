"""The database under the ledger: SQLite, or PostgreSQL by way of psycopg, spoken to in the SQL that both understand.

Statements have values as ``:name``. Columns of the type JSON take and give lists and dictionaries.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from time import sleep
from typing import Any, Protocol, TypeVar

import orjson

T = TypeVar("T")

PATIENCE = 30  # seconds that SQLite waits for others
LOCK = 7073  # number of the advisory lock that a PostgreSQL ledger is written under

_NAMED = re.compile(r":(\w+)")
_NESTED = (dict, list)  # becomes JSON
_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

sqlite3.register_converter("JSON", json.loads)  # for connections that ask for it


class Lost(Exception):
    """The database has given up a transaction: its connection broke, for instance, or the disk is full."""


class Connection:
    """One transaction.

    :param driven: the driver's connection.
    """

    def __init__(self, driven: Any, driver: Driver) -> None:
        self._driven = driven
        self._driver = driver

    def execute(self, statement: str, **values: object) -> Any:
        """Run a statement; what it found are the rows of the cursor."""
        return self._driver.execute(self._driven, statement, values)

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """All rows that a statement finds."""
        found: list[tuple[Any, ...]] = self.execute(statement, **values).fetchall()
        return found

    def row(self, statement: str, **values: object) -> tuple[Any, ...] | None:
        """The first row; ``None`` without any."""
        found: tuple[Any, ...] | None = self.execute(statement, **values).fetchone()
        return found

    def value(self, statement: str, **values: object) -> Any:
        """The first column of the first row; ``None`` without any."""
        found = self.row(statement, **values)
        return None if found is None else found[0]

    def stream(self, statement: str, **values: object) -> Iterator[tuple[Any, ...]]:
        """The rows one after the other, never all of them in memory."""
        return self._driver.stream(self._driven, statement, values)

    def part(self, work: Callable[[], T]) -> T:
        """Do a part of the transaction; if it fails, nothing of it is left, and the transaction can go on.

        :raises Lost: it cannot.
        """
        self._driven.execute("SAVEPOINT part")
        try:
            result = work()
            self._driven.execute("RELEASE SAVEPOINT part")
        except Exception as error:
            try:
                self._driven.execute("ROLLBACK TO SAVEPOINT part")
                self._driven.execute("RELEASE SAVEPOINT part")
            except self._driver.errors as other:
                raise Lost(str(other)) from error
            raise
        return result

    def tables(self) -> set[str]:
        """The names of all tables."""
        return {name for (name,) in self.rows(self._driver.tables)}


class Database:
    """A database and the connections to it, which are kept for whoever asks next. For any number of threads.

    :param url: ``sqlite:///PATH``, or ``postgresql://...`` as libpq reads it.
    :param view: what an SQLite file is opened with if it is only to be read, ``mode=ro`` and so on; empty if not.
    :ivar path: the file of an SQLite database.
    :ivar errors: what goes wrong with the database is one of these.
    """

    def __init__(self, url: str, view: str = "") -> None:
        self.url = url
        self.path = url.removeprefix("sqlite:///") if url.startswith("sqlite:") else None
        self._driver: Driver = _Sqlite(self.path, view) if self.path is not None else _Postgresql(url)
        self.errors = self._driver.errors
        self._idle: deque[Any] = deque()

    @contextmanager
    def transaction(self, *, writing: bool = False) -> Iterator[Connection]:
        """A transaction that is committed unless there is an error, or if it was for reading.

        :param writing: begin when nobody else writes, on any machine, and keep others waiting until the end.
        """
        driven = self._begun(writing)
        try:
            yield Connection(driven, self._driver)
            driven.execute("COMMIT" if writing else "ROLLBACK")
        except BaseException:
            try:
                driven.execute("ROLLBACK")
            except self.errors:  # the connection is lost, or there is nothing to roll back any more
                driven.close()
            else:
                self._idle.append(driven)
            raise
        self._idle.append(driven)

    def close(self) -> None:
        """Close what nobody uses."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _begun(self, writing: bool) -> Any:
        while True:
            try:
                driven, kept = self._idle.pop(), True
            except IndexError:
                driven, kept = self._driver.connect(), False
            try:
                for statement in self._driver.begin_to_write if writing else ("BEGIN",):
                    driven.execute(statement)
            except self.errors:
                lost = kept and getattr(driven, "closed", False)  # the server was restarted; there may be a better one
                driven.close()
                if not lost:
                    raise
            else:
                return driven


class Driver(Protocol):
    """What is different with each database."""

    errors: tuple[type[Exception], ...]
    begin_to_write: tuple[str, ...]
    tables: str  # finds their names

    def connect(self) -> Any:
        """A new connection of the driver, which begins no transactions by itself."""

    def execute(self, driven: Any, statement: str, values: dict[str, object]) -> Any:
        """Run a statement."""

    def stream(self, driven: Any, statement: str, values: dict[str, object]) -> Iterator[tuple[Any, ...]]:
        """Its rows one after the other."""


class _Sqlite:
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    begin_to_write: tuple[str, ...] = ("BEGIN IMMEDIATE",)
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite#_%' ESCAPE '#'"

    def __init__(self, path: str, view: str) -> None:
        self._path = f"{Path(path).absolute().as_uri()}?{view}" if view else path
        self._view = bool(view)

    def connect(self) -> Any:
        driven = sqlite3.connect(
            self._path,
            isolation_level=None,
            check_same_thread=False,
            detect_types=sqlite3.PARSE_DECLTYPES,
            uri=self._view,
        )
        try:
            driven.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")
            if not self._view:
                self._write_ahead(driven)
                driven.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:
            driven.close()
            raise
        return driven

    @staticmethod
    def _write_ahead(driven: sqlite3.Connection) -> None:
        # SQLite does not wait here for another process that does the same to a new database.
        for left in range(PATIENCE * 20, -1, -1):
            try:
                driven.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                    raise
                sleep(0.05)
            else:
                return

    def execute(self, driven: Any, statement: str, values: dict[str, object]) -> Any:
        return driven.execute(statement, _written(values, _utf8))

    def stream(self, driven: Any, statement: str, values: dict[str, object]) -> Iterator[tuple[Any, ...]]:
        yield from self.execute(driven, statement, values)


class _Postgresql:
    begin_to_write: tuple[str, ...] = ("BEGIN", f"SELECT pg_advisory_xact_lock({LOCK})")
    tables = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"

    def __init__(self, url: str) -> None:
        import psycopg  # several megabytes that SQLite can do without

        self._url = url.replace("postgresql+psycopg:", "postgresql:", 1)
        self._open = psycopg.connect
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def connect(self) -> Any:
        return self._open(self._url, autocommit=True)

    def execute(self, driven: Any, statement: str, values: dict[str, object]) -> Any:
        return driven.execute(_for_psycopg(statement), _written(values)) if values else driven.execute(statement)

    def stream(self, driven: Any, statement: str, values: dict[str, object]) -> Iterator[tuple[Any, ...]]:
        with driven.cursor(name="stream") as cursor:
            cursor.execute(_for_psycopg(statement), _written(values))
            yield from cursor


@lru_cache(256)
def _for_psycopg(statement: str) -> str:
    return _NAMED.sub(r"%(\1)s", statement)


def _written(values: dict[str, object], text: Callable[[object], str] = json.dumps) -> dict[str, object]:
    return {name: text(value) if isinstance(value, _NESTED) else value for name, value in values.items()}


def _utf8(value: object) -> str:
    """JSON that a database may keep which is sure to keep UTF-8; made several times faster than pure ASCII."""
    try:
        return orjson.dumps(value, option=_PLAIN).decode()
    except TypeError:  # a number of more than 64 bits, or half of a surrogate pair
        return json.dumps(value)
