"""Bringing the ledger's tables up to date, with a backup before anything is changed."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from pypicache.core.errors import BadInput
from pypicache.core.spec import masked
from pypicache.ledger.migrations.engines import lock

HERE = Path(__file__).parent


def upgrade(engine: Engine, backups: Path, place: Path = HERE) -> None:
    """Bring the tables of a database to the newest form.

    :param backups: directory for a copy of the SQLite database as it was; PostgreSQL is backed up by its own means.
    :param place: directory of the migrations.
    :raises BadInput: the database cannot be used, or a newer version of the program has changed it already.
    """
    config = Config()
    config.set_main_option("script_location", str(place))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    shown = masked(engine.url.render_as_string(hide_password=True))
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            fresh = not inspect(connection).get_table_names()
    except (SQLAlchemyError, sqlite3.Error) as error:  # the latter while a connection is set up
        why = str(error.__cause__ or error).strip().splitlines()
        raise BadInput(f"database = {shown}: it cannot be used: {why[0] if why else type(error).__name__}") from error
    if current == head:
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise BadInput(f"database = {shown}: a newer version of pypicache has changed it (schema {current})")
    if not fresh:
        back_up(engine, backups, current or "none")

    def revisions(revision: object, _: object) -> object:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type]  # what Alembic's own command does

    with EnvironmentContext(config, scripts, fn=revisions, as_sql=False) as context, engine.connect() as connection:
        connection.info["writes"] = True
        try:
            with connection.begin():
                lock(connection)
                context.configure(connection=connection, transactional_ddl=False, transaction_per_migration=False)
                context.run_migrations()
        finally:
            connection.info["writes"] = False


def back_up(engine: Engine, backups: Path, revision: str) -> Path | None:
    """Copy a SQLite database as it is; ``None`` for others."""
    if engine.dialect.name != "sqlite" or not engine.url.database or engine.url.database == ":memory:":
        return None
    backups.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    place = backups / f"ledger-{revision}-{now}.sqlite"
    os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))  # what is in it is as secret as the ledger
    with sqlite3.connect(engine.url.database) as source, sqlite3.connect(place) as copy:
        source.backup(copy)
    return place
