"""The database as Alembic wants it: an engine of SQLAlchemy, set up for one writer and safe commits."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from pypicache.ledger.database import LOCK


def engine_of(database: str) -> Engine:
    """An engine for the URL of a ledger's database; SQLite is set up for one writer and safe commits."""
    if database.startswith("sqlite:///"):
        engine = create_engine(URL.create("sqlite", database=database.removeprefix("sqlite:///")))
    else:
        engine = create_engine("postgresql+psycopg://" + database.partition("://")[2])
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _: object) -> None:
            connection.isolation_level = None  # transactions are begun by the event below, at once for writing
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA busy_timeout = 30000")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("writes") else "BEGIN")

    return engine


def lock(connection: Connection) -> None:
    """Wait until nobody else writes, on any machine, and keep others waiting until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")  # SQLite lets in one writer anyway
