"""An index of private uploads, as it stands on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from zope.interface import implementer

from pypicache.core.changes import Change, FileGone, FileSaved, IndexGone, IndexSaved, ReleaseGone, ReleaseSaved
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
    moment,
    project_files,
    project_names,
    project_releases,
    project_versions,
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


def _revision(serial: int, at: str) -> str:
    # The time tells serials apart that were given twice, before and after a backup of the ledger was put back.
    return f"s{serial}.{''.join(filter(str.isdigit, at))}"


def after_changes(project: Project, changes: Sequence[Change], revision: str) -> Project | None:
    """What a project lists after changes of one serial, as the ledger would list it; ``None`` if it has to be asked.

    To have taken in a change before does no harm: a listing may have been read when it was committed already, and was
    not told yet.
    """
    files, versions = list(project.files), set(project.versions or ())
    new: list[File] = []
    for change in changes:
        if isinstance(change, FileSaved) and change.kind == RELEASE:
            at = _position(files, change.path)
            if at is None:
                new.append(listed(change))
            else:
                files[at] = listed(change)
        elif isinstance(change, FileGone):
            at = _position(files, change.path)
            if at is None:
                return None
            del files[at]
        elif isinstance(change, ReleaseSaved):
            versions.add(change.version)
        elif not isinstance(change, FileSaved):
            return None
    files += sorted(new, key=lambda file: file.path)
    return evolve(project, files=tuple(files), versions=tuple(sorted(versions)), revision=revision)


def _position(files: Sequence[File], path: str) -> int | None:
    name = path.rpartition("/")[2]  # paths are put together from digests, which takes time for thousands of files
    return next((at for at, file in enumerate(files) if file.name == name and file.path == path), None)


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
        """Bring what is remembered up to date where that is simple, and drop it elsewhere."""
        mine = [change for change in recorded.changes if getattr(change, "index", None) == self.name]
        if not mine:
            return
        self._names = None
        projects = {change.project for change in mine if isinstance(change, FileSaved | ReleaseSaved | ReleaseGone)}
        after = None
        if len(projects) == 1:
            known = self._known.get(ProjectName(*projects))
            after = None if known is None else after_changes(known, mine, _revision(recorded.serial, recorded.at))
        if after is not None:
            self._known[after.name] = after
        elif any(isinstance(change, FileGone | IndexGone | IndexSaved) for change in mine):
            self._known.clear()  # a path does not say whose it is
        else:
            for project in projects:
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
        def ask(connection: Any) -> Project | None:
            versions = project_versions(connection, self.name, name)
            stored = project_files(connection, self.name, name)
            serial = last_touched(connection, self.name, name)
            files = tuple(listed(file) for file in stored if file.kind == RELEASE)
            if not versions and not files:
                return None
            revision = _revision(serial, moment(connection, serial))
            return Project(name=name, revision=revision, files=files, versions=tuple(versions))

        return await self._ledger.read(ask)

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
