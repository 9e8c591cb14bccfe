"""An index of private uploads, as it stands on its own."""

from __future__ import annotations

from zope.interface import implementer

from pypicache.core.changes import FileSaved
from pypicache.core.errors import Gone, NotFound
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.stage import StageSpec
from pypicache.index.releases import RELEASE, Release, stored_releases
from pypicache.index.side_files import SUFFIX, beside, found_in
from pypicache.interfaces import IBody, IIndex
from pypicache.ledger.ledger import (
    Ledger,
    Recorded,
    file_at,
    last_touched,
    project_files,
    project_names,
    project_releases,
    was_there,
)
from pypicache.store.library import Library

MOST_KNOWN = 20_000  # projects remembered, also those that the index does not have


def listed(stored: FileSaved) -> File:
    """A file of the ledger as an index lists it."""
    return File(
        name=stored.name,
        url="",
        hashes={"sha256": stored.hashes["sha256"]},
        size=stored.size,
        upload_time=stored.uploaded,
        requires_python=stored.requires_python,
        yanked=stored.yanked or None,
        core_metadata=None if stored.core_metadata is None else {"sha256": stored.core_metadata},
        index=stored.index,
        attested=stored.attested,
    )


@implementer(IIndex)
class Stage:
    """One stage index without its bases. What it lists is remembered until the ledger says that it changed."""

    def __init__(self, spec: StageSpec, ledger: Ledger, library: Library) -> None:
        self.spec = spec
        self.name = spec.name
        self._ledger = ledger
        self._library = library
        self._known: dict[ProjectName, Project | None] = {}
        self._names: list[str] | None = None

    def forget(self, recorded: Recorded) -> None:
        """Drop what changed."""
        for change in recorded.changes:
            if getattr(change, "index", None) != self.name:
                continue
            self._names = None
            project = getattr(change, "project", None)
            if project is None:
                self._known.clear()
            else:
                self._known.pop(ProjectName(project), None)

    async def names(self) -> list[str]:
        """The projects that have a version here, sorted."""
        if self._names is not None:
            return self._names
        serial = self._ledger.serial
        names = await self._ledger.read(lambda connection: project_names(connection, self.name))
        if serial == self._ledger.serial:  # otherwise they may have changed meanwhile
            self._names = names
        return names

    async def project(self, name: ProjectName, refresh: bool = False) -> Project:
        if name not in self._known:
            serial = self._ledger.serial
            found = await self._ask(name)
            if serial != self._ledger.serial:
                return self._some(name, found)  # it may have changed meanwhile: true now, not remembered
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[name] = found
        return self._some(name, self._known[name])

    def at_hand(self, name: ProjectName) -> Project | None:
        return self._some(name, self._known[name]) if name in self._known else None

    def until(self, name: ProjectName) -> float:
        return float("inf")

    def held(self, name: ProjectName, path: str) -> File | None:
        return found_in(self.at_hand(name), path)

    def _some(self, name: ProjectName, found: Project | None) -> Project:
        if found is None:
            raise NotFound(f"{self.name} has no project {name}")
        return found

    async def _ask(self, name: ProjectName) -> Project | None:
        releases, stored, serial = await self._ledger.read(
            lambda connection: (
                project_releases(connection, self.name, name),
                project_files(connection, self.name, name),
                last_touched(connection, self.name, name),
            )
        )
        files = [listed(file) for file in stored if file.kind == RELEASE]
        if not releases and not files:
            return None
        return Project(name=name, revision=f"s{serial}", files=tuple(files), versions=tuple(releases))

    async def releases(self, name: ProjectName) -> dict[str, Release]:
        """The versions of a project, with all that is said of them; empty if there is no such project."""
        metadata, files = await self._ledger.read(
            lambda connection: (
                project_releases(connection, self.name, name),
                project_files(connection, self.name, name),
            )
        )
        return stored_releases(self.name, name, metadata, files)

    async def stored(self, path: str) -> FileSaved:
        """What the ledger says of the file at a path.

        :raises Gone: it was deleted.
        :raises NotFound: there never was one.
        """
        stored, gone = await self._ledger.read(
            lambda connection: (file_at(connection, self.name, path), was_there(connection, self.name, path))
        )
        if stored is not None:
            return stored
        if gone:
            raise Gone(f"{self.name} had a file {path.rpartition('/')[2]!r}; it was deleted")
        raise NotFound(f"{self.name} has no file {path!r}")

    async def open(self, name: ProjectName, path: str) -> IBody:
        wanted = path.removesuffix(SUFFIX)
        stored = await self.stored(wanted)
        if wanted == path:
            file = listed(stored)
        elif stored.core_metadata is not None:
            file = beside(listed(stored))
        else:
            raise NotFound(f"no core metadata of {stored.name} is offered")
        key = f"{self.name}/{path}"
        if not self._library.shelf.holds(key):  # there is no upstream that has it
            raise NotFound(f"{key} should be on the shelf of this server, and is not")
        return self._library.open(key, name, file, None)
