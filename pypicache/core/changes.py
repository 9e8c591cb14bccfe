"""What can happen to the truth, as values: applied, journaled, replicated and told to listeners alike.

Every change says the whole new state of one thing, so that applying it twice is the same as applying it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import asdict, field, frozen


@frozen(kw_only=True)
class UserSaved:
    """A user was made or changed."""

    name: str
    record: Mapping[str, Any]  # email, title, description, custom_data, pwhash, created, modified; only what is set


@frozen(kw_only=True)
class UserGone:
    """A user was deleted; the indexes went before, each with a change of its own."""

    name: str


@frozen(kw_only=True)
class IndexSaved:
    """An index was made or its options changed."""

    name: str  # user/index
    options: Mapping[str, Any]  # as configured, credentials included; has "type"


@frozen(kw_only=True)
class IndexGone:
    """An index was deleted, with everything in it."""

    name: str


@frozen(kw_only=True)
class ReleaseSaved:
    """A version of a project was registered, or its metadata changed."""

    index: str
    project: str  # normalised
    version: str  # as it was uploaded
    metadata: Mapping[str, Any]  # the keys of contract devpi 8.3 without those that begin with "+"


@frozen(kw_only=True)
class ReleaseGone:
    """A version was deleted, with everything in it."""

    index: str
    project: str
    version: str


@frozen(kw_only=True)
class FileSaved:
    """A file was added, or what is said about it changed."""

    index: str
    project: str
    version: str
    kind: str  # releasefile, doczip or toxresult
    path: str  # below the index: +f/abc/0123456789abc/name
    name: str
    hashes: Mapping[str, str]  # algorithm -> lower case hex; sha256 is always there
    size: int  # bytes
    uploaded: str  # YYYY-MM-DDTHH:MM:SS.ffffffZ
    log: list[Mapping[str, Any]] = field(factory=list)  # contract devpi 8.3
    requires_python: str | None = None
    core_metadata: str | None = None  # sha256 of the .metadata beside it, lower case hex
    yanked: bool | str = False  # a string is the reason
    attested: bool = False  # a provenance object lies beside it (PEP 740)
    of: str | None = None  # toxresult: the path of the release file


@frozen(kw_only=True)
class FileGone:
    """A file was deleted; its address answers "gone" from now on."""

    index: str
    path: str


@frozen(kw_only=True)
class TokenSaved:
    """An API token was made, or its limits changed."""

    id: str
    user: str
    record: Mapping[str, Any]  # digest (sha256 hex of the secret), created, expires, indexes, projects, actions


@frozen(kw_only=True)
class TokenGone:
    """An API token was deleted."""

    id: str


Change = (
    UserSaved
    | UserGone
    | IndexSaved
    | IndexGone
    | ReleaseSaved
    | ReleaseGone
    | FileSaved
    | FileGone
    | TokenSaved
    | TokenGone
)
KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        UserSaved, UserGone, IndexSaved, IndexGone, ReleaseSaved, ReleaseGone, FileSaved, FileGone, TokenSaved,
        TokenGone,
    )
}  # fmt: skip


def stamp(now: datetime) -> str:
    """A time, in UTC, as the ledger and the simple API write it (PEP 700)."""
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_json(change: Change) -> dict[str, Any]:
    """A change as the journal and replicas have it: its fields, and its name under ``change``."""
    return {"change": type(change).__name__, **asdict(change, recurse=False)}


def from_json(record: Mapping[str, Any]) -> Change:
    """Read a change as :func:`to_json` wrote it.

    :raises KeyError: no such change.
    :raises TypeError: its fields are other ones.
    """
    fields = dict(record)
    made: Change = KINDS[fields.pop("change")](**fields)
    return made
