"""The tables of the ledger, as of its newest migration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

BIGINT, JSON, TEXT, VARCHAR = "BIGINT", "JSON", "TEXT", "VARCHAR"


@frozen
class Table:
    """A table; its columns are name -> type, and none of them can be empty."""

    name: str
    key: Mapping[str, str]
    rest: Mapping[str, str] = field(factory=dict)
    indexes: Mapping[str, Sequence[str]] = field(factory=dict, kw_only=True)  # name -> columns

    def statements(self) -> Iterator[str]:
        """The SQL that makes it."""
        columns = [f'"{name}" {kind} NOT NULL' for name, kind in [*self.key.items(), *self.rest.items()]]
        yield f"CREATE TABLE {self.name} ({', '.join(columns)}, PRIMARY KEY ({quoted(self.key)}))"
        for name, indexed in self.indexes.items():
            yield f"CREATE INDEX {name} ON {self.name} ({quoted(indexed)})"


def quoted(names: Mapping[str, object] | Sequence[str]) -> str:
    """Names of columns as SQL has them in a list; some are words of its own."""
    return ", ".join(f'"{name}"' for name in names)


# One row per serial. What the other tables hold follows from this one.
journal = Table(
    "journal",
    {"serial": BIGINT},
    {
        "at": "VARCHAR(27)",  # YYYY-MM-DDTHH:MM:SS.ffffffZ
        "changes": JSON,  # list of changes, as core.changes.to_json writes them
    },
)
users = Table("users", {"name": VARCHAR}, {"record": JSON})
indexes = Table("indexes", {"name": VARCHAR}, {"options": JSON})  # the name is user/index
releases = Table("releases", {"index": VARCHAR, "project": VARCHAR, "version": VARCHAR}, {"metadata": JSON})
files = Table(
    "files",
    {"index": VARCHAR, "path": VARCHAR},  # the path is below the index
    {
        "project": VARCHAR,
        "version": VARCHAR,
        "kind": "VARCHAR(16)",
        "sha256": "VARCHAR(64)",
        "serial": BIGINT,  # of the change that added the file
        "record": JSON,  # the FileSaved change
    },
    indexes={"files_project": ["index", "project"], "files_sha256": ["sha256"]},
)
gone = Table("gone", {"index": VARCHAR, "path": VARCHAR})
tokens = Table("tokens", {"id": "VARCHAR(64)"}, {"user": VARCHAR, "record": JSON}, indexes={"tokens_user": ["user"]})
# About the ledger itself: node-uuid, declared (what the configuration declared at first start).
facts = Table("facts", {"name": "VARCHAR(64)"}, {"value": TEXT})
# The serial is that of the last change to anything in the project.
touched = Table("touched", {"index": VARCHAR, "project": VARCHAR}, {"serial": BIGINT})
# What others have yet to be told. A row is written in the transaction of what is told, and goes when that was delivered
# or given up; it follows from nothing else, and replicas have none.
outbox = Table(
    "outbox",
    {
        "index": VARCHAR,
        "hook": "VARCHAR(32)",  # the option of the index that names who is told
        "about": VARCHAR,  # a release, "project/version"; empty: all that changed in the index
        "serial": BIGINT,
    },
)

TABLES = (journal, users, indexes, releases, files, gone, tokens, facts, touched, outbox)
