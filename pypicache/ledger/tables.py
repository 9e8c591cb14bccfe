"""The tables of the ledger, as of its newest migration."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, MetaData, String, Table, Text

METADATA = MetaData()

# One row per serial. What the other tables hold follows from this one.
journal = Table(
    "journal",
    METADATA,
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),  # YYYY-MM-DDTHH:MM:SS.ffffffZ
    Column("changes", JSON, nullable=False),  # list of changes, as core.changes.to_json writes them
)
users = Table(
    "users",
    METADATA,
    Column("name", String, primary_key=True),
    Column("record", JSON, nullable=False),
)
indexes = Table(
    "indexes",
    METADATA,
    Column("name", String, primary_key=True),  # user/index
    Column("options", JSON, nullable=False),
)
releases = Table(
    "releases",
    METADATA,
    Column("index", String, primary_key=True),
    Column("project", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("metadata", JSON, nullable=False),
)
files = Table(
    "files",
    METADATA,
    Column("index", String, primary_key=True),
    Column("path", String, primary_key=True),  # below the index
    Column("project", String, nullable=False),
    Column("version", String, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("serial", BigInteger, nullable=False),  # of the change that added the file
    Column("record", JSON, nullable=False),  # the FileSaved change
)
Index("files_project", files.c.index, files.c.project)
Index("files_sha256", files.c.sha256)
gone = Table(
    "gone",
    METADATA,
    Column("index", String, primary_key=True),
    Column("path", String, primary_key=True),
)
tokens = Table(
    "tokens",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("user", String, nullable=False),
    Column("record", JSON, nullable=False),
)
Index("tokens_user", tokens.c.user)
facts = Table(
    "facts",
    METADATA,
    Column(
        "name", String(64), primary_key=True
    ),  # node-uuid, declared (what the configuration declared at first start)
    Column("value", Text, nullable=False),
)
touched = Table(
    "touched",
    METADATA,
    Column("index", String, primary_key=True),
    Column("project", String, primary_key=True),
    Column("serial", BigInteger, nullable=False),  # of the last change to anything in the project
)
# What others have yet to be told. A row is written in the transaction of what is told, and goes when that was delivered
# or given up; it follows from nothing else, and replicas have none.
outbox = Table(
    "outbox",
    METADATA,
    Column("index", String, primary_key=True),
    Column("hook", String(32), primary_key=True),  # the option of the index that names who is told
    Column("about", String, primary_key=True),  # a release, "project/version"; empty: all that changed in the index
    Column("serial", BigInteger, primary_key=True, autoincrement=False),
)
