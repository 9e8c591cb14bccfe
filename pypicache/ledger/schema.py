"""Whether a database has the tables that this version of the program needs.

A new database gets them at once. An older one is brought up to date by Alembic in a process of its own, so that the
daemon does not carry for ever what is needed once per version.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from pypicache.core.errors import BadInput
from pypicache.core.spec import masked
from pypicache.ledger.tables import METADATA

REVISION = "0002"  # of the newest migration


def prepare(engine: Engine, database: str, backups: Path) -> None:
    """Give a database the newest tables.

    :param database: its URL, with the password.
    :param backups: directory for a copy of an SQLite database that has to be changed.
    :raises BadInput: it cannot be used, or a newer version of the program has changed it already.
    """
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            current = None
            if "alembic_version" in tables:
                current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        if not tables:
            make(engine)
        elif current != REVISION:
            migrate(database, backups)
    except (SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is set up
        shown = masked(engine.url.render_as_string(hide_password=True))
        why = str(error.__cause__ or error).strip().splitlines()
        raise BadInput(f"database = {shown}: it cannot be used: {why[0] if why else type(error).__name__}") from error


def make(engine: Engine) -> None:
    """Make all tables in an empty database, and note which migration they are as of."""
    with engine.connect() as connection:
        connection.info["writes"] = True
        try:
            with connection.begin():
                lock(connection)
                if inspect(connection).get_table_names():
                    return  # another process was faster
                METADATA.create_all(connection)
                connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
                connection.execute(text(f"INSERT INTO alembic_version VALUES ('{REVISION}')"))  # noqa: S608 -- our own
        finally:
            connection.info["writes"] = False


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


def lock(connection: Connection) -> None:
    """Wait until nobody else writes, on any machine, and keep others waiting until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7073)")  # SQLite lets in one writer anyway
