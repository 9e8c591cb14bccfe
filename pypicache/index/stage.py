"""An index of private uploads, as it stands on its own."""

from __future__ import annotations

from zope.interface import implementer

from pypicache.core.changes import FileSaved
from pypicache.core.errors import Gone, NotFound
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.stage import StageSpec
from pypicache.interfaces import IBody, IIndex
from pypicache.ledger.ledger import Ledger, Recorded, file_at, last_touched, project_files, project_releases, was_there
from pypicache.store.library import Library

SUFFIX = ".metadata"
RELEASE = "releasefile"


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

    def forget(self, recorded: Recorded) -> None:
        """Drop what changed."""
        for change in recorded.changes:
            if getattr(change, "index", None) != self.name:
                continue
            project = getattr(change, "project", None)
            if project is None:
                self._known.clear()
            else:
                self._known.pop(ProjectName(project), None)

    async def project(self, name: ProjectName, refresh: bool = False) -> Project:
        if name not in self._known:
            serial = self._ledger.serial
            found = await self._ask(name)
            if serial != self._ledger.serial:
                return self._some(name, found)  # it may have changed meanwhile: true now, not remembered
            self._known[name] = found
        return self._some(name, self._known[name])

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
        if not releases:
            return None
        files = [listed(file) for file in stored if file.kind == RELEASE]
        return Project(name=name, revision=f"s{serial}", files=tuple(files), versions=tuple(releases))

    async def open(self, name: ProjectName, path: str) -> IBody:
        wanted = path.removesuffix(SUFFIX)
        stored = await self._ledger.read(lambda connection: file_at(connection, self.name, wanted))
        if stored is None:
            if await self._ledger.read(lambda connection: was_there(connection, self.name, wanted)):
                raise Gone(f"{self.name} had a file {path.rpartition('/')[2]!r}; it was deleted")
            raise NotFound(f"{self.name} has no file {path!r}")
        if wanted != path:
            if stored.core_metadata is None:
                raise NotFound(f"no core metadata of {stored.name} is offered")
            beside = File(name=stored.name + SUFFIX, url="", hashes={"sha256": stored.core_metadata})
            return self._library.open(f"{self.name}/{path}", name, beside, None)
        return self._library.open(f"{self.name}/{path}", name, listed(stored), None)
