"""What can happen to a ledger, as material for tests: changes by hand, and any changes at all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pypicache.core.changes import (
    Change,
    FileGone,
    FileSaved,
    IndexGone,
    IndexSaved,
    ReleaseGone,
    ReleaseSaved,
    TokenGone,
    TokenSaved,
    UserGone,
    UserSaved,
)
from pypicache.ledger.database import Connection
from pypicache.ledger.ledger import Decision
from pypicache.ledger.tables import TABLES, quoted

# Few names, so that changes meet; what upload forms and configuration may carry in between.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(TEXT, JSON, max_size=4)
USERS = st.sampled_from(["alice", "bob", "Zoë"])
INDEXES = st.sampled_from(["alice/dev", "alice/prod", "bob/dev"])
PROJECTS = st.sampled_from(["a", "a-b", "numpy"])
VERSIONS = st.sampled_from(["1.0", "1.0.0", "2.0+local", "0-ältere"])
DIGESTS = st.sampled_from([digit * 64 for digit in "0a"])
PATHS = st.sampled_from(["+f/000/0000000000000/a-1.0.zip", "+f/000/0000000000000/b-1.0.zip"])
FILES = st.builds(
    FileSaved,
    index=INDEXES,
    project=PROJECTS,
    version=VERSIONS,
    kind=st.sampled_from(["releasefile", "doczip", "toxresult"]),
    path=PATHS,
    name=TEXT,
    hashes=DIGESTS.map(lambda digest: {"sha256": digest}),
    size=st.integers(0, 2**45),
    uploaded=st.just("2026-11-20T10:05:31.000000Z"),
    log=st.lists(RECORDS, max_size=2),
    requires_python=st.none() | TEXT,
    core_metadata=st.none() | DIGESTS,
    yanked=st.booleans() | TEXT,
    attested=st.booleans(),
    of=st.none() | PATHS,
)
STAGE = st.builds(lambda title: {"type": "stage", "title": title}, TEXT)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(UserSaved, name=USERS, record=RECORDS),
    st.builds(UserGone, name=USERS),
    st.builds(IndexSaved, name=INDEXES, options=STAGE),
    st.builds(IndexGone, name=INDEXES),
    st.builds(ReleaseSaved, index=INDEXES, project=PROJECTS, version=VERSIONS, metadata=RECORDS),
    st.builds(ReleaseGone, index=INDEXES, project=PROJECTS, version=VERSIONS),
    FILES,
    st.builds(FileGone, index=INDEXES, path=PATHS),
    st.builds(TokenSaved, id=st.sampled_from(["t1", "t2"]), user=USERS, record=RECORDS),
    st.builds(TokenGone, id=st.sampled_from(["t1", "t2"])),
)
HISTORIES = st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=8)


def user(name: str, **record: object) -> UserSaved:
    """A user was made."""
    return UserSaved(name=name, record=record)


def file(path: str = "+f/abc/0123456789abc/a-1.0.zip", **fields: Any) -> FileSaved:
    """A file was added."""
    usual: dict[str, Any] = {
        "index": "alice/dev", "project": "a", "version": "1.0", "kind": "releasefile", "path": path,
        "name": path.rpartition("/")[2], "hashes": {"sha256": "a" * 64}, "size": 3,
        "uploaded": "2026-11-20T10:05:31.000000Z",
    }  # fmt: skip
    return FileSaved(**{**usual, **fields})


def decided(*changes: Change) -> Any:
    """A decision that looks at nothing."""
    return lambda connection: Decision(changes, "told")


def everything(connection: Connection) -> dict[str, list[Any]]:
    """All rows of all tables."""
    return {
        table.name: sorted(connection.rows(f"SELECT {quoted({**table.key, **table.rest})} FROM {table.name}"), key=repr)  # noqa: S608 -- names of our own
        for table in TABLES
    }
