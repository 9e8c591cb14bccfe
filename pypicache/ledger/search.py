"""Questions over all projects of several indexes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from sqlalchemy import Connection, select

from pypicache.ledger.tables import releases


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
    wanted = select(releases).where(releases.c.index.in_(indexes))
    wanted = wanted.order_by(releases.c.index, releases.c.project, releases.c.version)
    found = []
    # Row by row, for descriptions are long. PostgreSQL takes no key out of JSON that has a null character anywhere.
    for index, project, version, metadata in connection.execution_options(yield_per=100).execute(wanted):
        name, summary = str(metadata.get("name") or project), str(metadata.get("summary") or "")
        found.append(Registered(index=index, project=project, version=version, name=name, summary=summary))
    return found
