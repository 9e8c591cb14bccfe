"""Ledgers for tests, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import create_engine
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from pypicache.core.changes import Change
from pypicache.ledger.ledger import Ledger
from pypicache.ledger.migrations.engines import engine_of
from tests.histories import decided


class LedgerCase(SynchronousTestCase):
    """A ledger on a new, empty database; its threads are the test's own."""

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-ledger-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.database = self.make_database()
        self.ledger = self.open()

    def open(self, database: str | None = None) -> Ledger:
        """A ledger as after a start."""
        ledger = Ledger(database or self.database, maybeDeferred, maybeDeferred)
        self.addCleanup(ledger.close)
        ledger.open(self.directory / "backups")
        return ledger

    def change(self, *changes: Change) -> Any:
        """Record something."""
        return self.successResultOf(Deferred.fromCoroutine(self.ledger.change(decided(*changes))))

    def read(self, question: Callable[..., Any], *arguments: object) -> Any:
        """Ask something."""
        return self.ledger.read_now(lambda connection: question(connection, *arguments))


class OnSqlite(LedgerCase):
    """With a file of its own."""

    def make_database(self) -> str:
        return f"sqlite:///{self.directory}/{uuid4().hex}.sqlite"


class OnPostgresql(LedgerCase):
    """With a database of its own on the server of the fixture ``in_postgresql``."""

    server: str  # URL

    def make_database(self) -> str:
        name = f"ledger_{uuid4().hex}"
        engine = create_engine(engine_of(self.server).url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return engine.url.set(database=name).render_as_string(hide_password=False)
