"""Whether a database has the tables that this version of the program needs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from twisted.trial.unittest import SynchronousTestCase

from pypicache.core.errors import BadInput
from pypicache.ledger import migrations
from pypicache.ledger.database import Database
from pypicache.ledger.migrations import upgrade
from pypicache.ledger.migrations.engines import engine_of
from pypicache.ledger.schema import REVISION, prepare


class NewDatabaseTests(SynchronousTestCase):
    """A new database gets its tables without Alembic, which then must find nothing left to do."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pypicache-ledger-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.database = Database(f"sqlite:///{self.directory}/ledger.sqlite")
        self.addCleanup(self.database.close)
        self.engine = engine_of(self.database.url)
        self.addCleanup(self.engine.dispose)

    def test_as_of_the_newest_migration(self) -> None:
        """The revision that is noted is that of the newest migration."""
        prepare(self.database, self.directory / "backups")
        assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == REVISION
        upgrade(self.engine, self.directory / "backups")
        assert list(self.directory.glob("backups/*")) == []

    def test_an_older_one_is_migrated_apart(self) -> None:
        """Tables without a revision are none of ours, and are not touched; the sentence says so."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE journal (other INTEGER)")
        with pytest.raises(BadInput, match="journal"):
            prepare(self.database, self.directory / "backups")
        assert len(list(self.directory.glob("backups/*"))) == 1
