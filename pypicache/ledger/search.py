"""Questions over all projects of several indexes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from pypicache.ledger.database import Connection


@frozen(kw_only=True)
class Registered:
    """One version of a project, as short as a search shows it."""

    index: str
    project: str  # normalised
    version: str
    name: str
    summary: str


def all_releases(connection: Connection, indexes: Sequence[str]) -> list[Registered]:
    """Every version of every project of these indexes."""
    wanted = 'SELECT project, version, metadata FROM releases WHERE "index" = :index ORDER BY project, version'
    found = []
    for index in sorted(set(indexes)):
        # Row by row, for descriptions are long. PostgreSQL takes no key out of JSON that has a null character anywhere.
        for project, version, metadata in connection.stream(wanted, index=index):
            name, summary = str(metadata.get("name") or project), str(metadata.get("summary") or "")
            found.append(Registered(index=index, project=project, version=version, name=name, summary=summary))
    return found
