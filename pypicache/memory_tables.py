"""The tables of ``memory.sqlite``."""

from __future__ import annotations

import sqlite3
from contextlib import closing

SCHEMA = 2  # user_version of the database; another one is begun anew

TABLES = """
CREATE TABLE pages (
    idx TEXT NOT NULL,            -- user/index
    project TEXT NOT NULL,        -- normalised
    source TEXT NOT NULL,         -- the mirror_url it came from, without credentials
    url TEXT NOT NULL,            -- where relative links start
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,           -- as the upstream sent it, compressed by zlib
    etag TEXT,
    modified TEXT,
    serial INTEGER,
    checked REAL NOT NULL,        -- seconds since the epoch: when the upstream last confirmed it
    missing REAL,                 -- seconds since the epoch: since when the upstream says that there is no such project
    used REAL NOT NULL,           -- seconds since the epoch: when a client last asked for it
    PRIMARY KEY (idx, project)
) WITHOUT ROWID;
CREATE INDEX pages_checked ON pages (idx, checked);
CREATE TABLE files (
    key TEXT PRIMARY KEY,         -- user/index/+f/abc/0123456789abc/name
    idx TEXT NOT NULL,
    project TEXT NOT NULL,
    sha256 TEXT NOT NULL,         -- of the bytes on disk
    size INTEGER NOT NULL,        -- bytes
    made INTEGER NOT NULL,        -- 1: core metadata that we took out of the wheel ourselves
    used REAL NOT NULL            -- seconds since the epoch
) WITHOUT ROWID;
CREATE INDEX files_project ON files (idx, project);
CREATE INDEX files_used ON files (used);
CREATE INDEX files_sha256 ON files (sha256);
CREATE TABLE coded (
    number INTEGER PRIMARY KEY,   -- in the order in which they came
    prefix TEXT NOT NULL,         -- path of the outside URL
    idx TEXT NOT NULL,
    project TEXT NOT NULL,
    format TEXT NOT NULL,
    coding TEXT NOT NULL,
    revision TEXT NOT NULL,       -- of the project that the page shows
    written_by TEXT NOT NULL,     -- the code that wrote the page
    digest TEXT NOT NULL,         -- of the page before it was compressed
    body BLOB NOT NULL,
    sha256 TEXT NOT NULL,         -- of the body
    size INTEGER NOT NULL,        -- bytes of the body
    UNIQUE (project, idx, prefix, format, coding)
);
CREATE INDEX coded_size ON coded (number, size);  -- so that the bodies are not read to sum up
"""


def columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The tables of a database and their columns, in order."""
    return connection.execute(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' ORDER BY tables.name, columns.cid"
    ).fetchall()


def expected_columns() -> list[tuple[str, str]]:
    """The same of :data:`TABLES`."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        return columns(connection)
