"""Yanking: files stay, and installers choose them only when they are asked for by version (PEP 592)."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from pypicache.core.errors import NotFound
from pypicache.core.model import ProjectName
from pypicache.ledger.ledger import Decision, Ledger, project_files


async def yank(ledger: Ledger, index: str, project: ProjectName, version: str, yanked: bool | str) -> list[str]:
    """Yank all files of a release, or take that back. Doing it twice changes nothing.

    :param yanked: a text is the reason.
    :return: the names of the files.
    :raises NotFound: the index has no files of this release.
    """

    def decide(connection: Any) -> Decision[list[str]]:
        stored = project_files(connection, index, project)
        files = [file for file in stored if file.kind == "releasefile" and file.version == version]
        if not files:
            raise NotFound(f"{index} has no files of {project} {version}")
        changes = [evolve(file, yanked=yanked) for file in files if file.yanked != yanked]
        return Decision(changes, [file.name for file in files])

    return await ledger.change(decide)
