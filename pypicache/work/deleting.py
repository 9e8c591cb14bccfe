"""Deleting projects, versions and files (contract devpi 8.4 and 11.3)."""

from __future__ import annotations

from typing import Any

from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseGone
from pypicache.core.dist import version_of
from pypicache.core.errors import Denied, Gone, NotFound
from pypicache.core.model import ProjectName
from pypicache.index.catalog import Index
from pypicache.index.mirror import Mirror
from pypicache.index.releases import mirrored_releases
from pypicache.ledger.ledger import Decision, Ledger, file_at, project_files, project_releases, was_there
from pypicache.memory import Held, Memory
from pypicache.work.clearing import Clearing

METADATA = ".metadata"


class Deleting:
    """Who may do it, web has asked before. What was deleted is said by the ledger, and the bytes follow.

    A mirror lists what its upstream lists: there, only what is held goes, and comes back with the next request.
    """

    def __init__(self, ledger: Ledger, memory: Memory, clearing: Clearing) -> None:
        self._ledger = ledger
        self._memory = memory
        self._clearing = clearing

    async def project(self, index: Index, name: ProjectName, *, force: bool) -> None:
        """Delete a project with everything in it.

        :raises NotFound: the index itself, without its bases, has no such project.
        :raises Denied: the index is not volatile.
        """
        _check_volatile(index, force, f"project {name}")
        if isinstance(index, Mirror):
            held = await self._memory.held(index.name, name)
            if not held and await self._memory.page(index.name, name) is None:
                raise NotFound("project not found")
            await index.forget(name)
            await self._clearing.cached(held)
            return

        def decide(connection: Any) -> Decision[None]:
            files = project_files(connection, index.name, name)
            versions = dict.fromkeys(
                [*project_releases(connection, index.name, name), *(file.version for file in files)]
            )
            if not versions:
                raise NotFound("project not found")
            changes: list[Change] = [_gone(file) for file in files]
            changes += [ReleaseGone(index=index.name, project=name, version=version) for version in versions]
            return Decision(changes, None)

        await self._ledger.change(decide)

    async def version(self, index: Index, name: ProjectName, version: str, *, force: bool) -> None:
        """Delete a version with everything in it.

        :raises NotFound: the index itself, without its bases, has no such version.
        :raises Denied: the index is not volatile.
        """
        missing = NotFound(f"The version {version} of project {name} does not exist.")
        _check_volatile(index, force, f"version {version} of project {name}")
        if isinstance(index, Mirror):
            held = await self._memory.held(index.name, name)
            wanted = [file for file in held if version_of(_file_name(file), name) == version]
            if not wanted and version not in mirrored_releases(index.name, await index.project(name)):
                raise missing
            await self._clearing.cached(wanted)
            index.reload(name)
            return

        def decide(connection: Any) -> Decision[None]:
            files = [file for file in project_files(connection, index.name, name) if file.version == version]
            if not files and version not in project_releases(connection, index.name, name):
                raise missing
            gone = ReleaseGone(index=index.name, project=name, version=version)
            return Decision([*map(_gone, files), gone], None)

        await self._ledger.change(decide)

    async def file(self, index: Index, path: str, *, force: bool) -> None:
        """Delete a file, and what was said of it; a version without files goes too.

        :raises NotFound: the index itself, without its bases, has no such file.
        :raises Gone: it was deleted before.
        :raises Denied: the index is not volatile.
        """
        missing = NotFound(f"package '{index.name}/{path}' doesn't exist")
        if isinstance(index, Mirror):
            wanted = await self._memory.held_at(f"{index.name}/{path}")
            if not wanted:
                raise missing
            _check_volatile(index, force, f"package '{index.name}/{path}'")
            await self._clearing.cached(wanted)
            index.reload(ProjectName(wanted[0].project))
            return

        def decide(connection: Any) -> Decision[None]:
            file = file_at(connection, index.name, path)
            if file is None:
                if was_there(connection, index.name, path):
                    raise Gone(f"package '{index.name}/{path}' was deleted before")
                raise missing
            _check_volatile(index, force, f"package '{index.name}/{path}'")
            others = project_files(connection, index.name, file.project)
            leaving = [file, *(other for other in others if other.of == path)]
            changes: list[Change] = [_gone(other) for other in leaving]
            if all(other in leaving for other in others if other.version == file.version):
                changes.append(ReleaseGone(index=index.name, project=file.project, version=file.version))
            return Decision(changes, None)

        await self._ledger.change(decide)


def _check_volatile(index: Index, force: bool, what: str) -> None:
    if not index.spec.volatile and not force:
        raise Denied(f"{what} is on non-volatile index {index.name}, it cannot be deleted without force")


def _gone(file: FileSaved) -> FileGone:
    return FileGone(index=file.index, path=file.path)


def _file_name(held: Held) -> str:
    return held.key.rpartition("/")[2].removesuffix(METADATA)
