"""Whether a database has the tables that this version of the program needs.

A new database gets them at once. An older one is brought up to date by Alembic in a process of its own, so that the
daemon does not carry for ever what is needed once per version.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pypicache.core.errors import BadInput
from pypicache.core.spec import masked
from pypicache.ledger.database import Connection, Database
from pypicache.ledger.tables import TABLES

REVISION = "0002"  # of the newest migration


def prepare(database: Database, backups: Path) -> None:
    """Give a database the newest tables.

    :param backups: directory for a copy of an SQLite database that has to be changed.
    :raises BadInput: it cannot be used, or a newer version of the program has changed it already.
    """
    try:
        with database.transaction() as connection:
            tables = connection.tables()
            current = revision(connection)
        if not tables:
            make(database)
        elif current != REVISION:
            migrate(database.url, backups)
    except database.errors as error:
        raise unusable(database, error) from error


def unusable(database: Database, error: Exception) -> BadInput:
    """What an operator is told when a database cannot be used."""
    why = str(error).strip().splitlines() or [type(error).__name__]
    return BadInput(f"database = {masked(database.url)}: it cannot be used: {why[0]}")


def revision(connection: Connection) -> str | None:
    """The migration that the tables are as of; ``None`` before the first one."""
    if "alembic_version" not in connection.tables():
        return None
    current: str | None = connection.value("SELECT version_num FROM alembic_version")
    return current


def make(database: Database) -> None:
    """Make all tables in an empty database, and note which migration they are as of."""
    with database.transaction(writing=True) as connection:
        if connection.tables():
            return  # another process was faster
        for table in TABLES:
            for statement in table.statements():
                connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (:revision)", revision=REVISION)


def migrate(database: str, backups: Path) -> None:
    """Bring an older database up to date.

    :raises BadInput: that is not possible; nothing was changed.
    """
    order = json.dumps({"database": database, "backups": str(backups)})
    done = subprocess.run(  # the URL goes by stdin, because others can see the arguments of a process
        [sys.executable, "-m", "pypicache.ledger.migrations"], input=order, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BadInput(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the ledger cannot be upgraded")
