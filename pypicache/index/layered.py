"""A stage index with its bases: private files over mirrored ones (contract devpi 17)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256

from attrs import evolve, frozen
from twisted.logger import Logger
from zope.interface import implementer

from pypicache.core.errors import NotFound, UpstreamDown
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.stage import StageSpec
from pypicache.index.mirror import Mirror
from pypicache.index.releases import Release, layered_releases, mirrored_releases
from pypicache.index.stage import Stage
from pypicache.interfaces import IBody, IIndex
from pypicache.tasks import all_of

MOST_MERGED = 2_000  # projects whose merged listing is remembered


@frozen(kw_only=True)
class Part:
    """What one index of the resolution order has of a project."""

    index: Stage | Mirror
    project: Project


@implementer(IIndex)
class Layered:
    """A stage index as clients see it.

    The stages come first, in the order in which a walk breadth first through the bases meets them; all mirrors come
    last. A file name belongs to the first index that has it. A private project hides the mirrored one of the same name,
    and its name is not asked for upstream, unless a whitelist admits it.
    """

    log = Logger()

    def __init__(self, own: Stage, order: Callable[[], Sequence[Stage | Mirror]]) -> None:
        self.own = own
        self.spec: StageSpec = own.spec
        self.name = own.name
        self._order = order
        self._merged: dict[ProjectName, tuple[list[tuple[str, str]], Project]] = {}

    async def project(self, name: ProjectName, refresh: bool = False) -> Project:
        parts, trouble = await self.parts(name, refresh)
        if not parts:
            if trouble is not None:
                raise trouble  # "not found" would be said of something that nobody could ask for
            raise NotFound(f"{self.name} has no project {name}")
        listing = self._merge(name, parts)
        stale = trouble is not None or any(part.project.stale for part in parts)
        return evolve(listing, stale=True) if stale else listing

    def at_hand(self, name: ProjectName) -> Project | None:
        stages, mirrors = self._split()
        parts: list[Part] = []
        for index in stages:
            if not _has(index, name, parts):
                return None
        if not self._is_private(name, stages, parts):
            for mirror in mirrors:
                if not _has(mirror, name, parts):
                    return None
        if not parts:
            raise NotFound(f"{self.name} has no project {name}")
        return self._merge(name, parts)

    def until(self, name: ProjectName) -> float:
        stages, mirrors = self._split()
        parts: list[Part] = []
        known = all(_has(index, name, parts) for index in stages)
        asked = () if not known or self._is_private(name, stages, parts) else mirrors
        return min((mirror.until(name) for mirror in asked), default=float("inf"))

    def held(self, name: ProjectName, path: str) -> File | None:
        return self.own.held(name, path)

    def _merge(self, name: ProjectName, parts: Sequence[Part]) -> Project:
        revisions = [(part.index.name, part.project.revision) for part in parts]
        remembered = self._merged.get(name)
        if remembered is None or remembered[0] != revisions:
            if len(self._merged) >= MOST_MERGED:
                self._merged.clear()
            revision = sha256(" ".join(f"{index}={revision}" for index, revision in revisions).encode()).hexdigest()
            remembered = self._merged[name] = (revisions, merged(name, revision[:20], parts))
        return remembered[1]

    def _split(self) -> tuple[list[Stage], list[Mirror]]:
        order = self._order()
        stages = [index for index in order if isinstance(index, Stage)]
        return stages, [index for index in order if isinstance(index, Mirror)]

    def _is_private(self, name: ProjectName, stages: Sequence[Stage], parts: Sequence[Part]) -> bool:
        """Whether the mirrors are not asked, because a stage has the project and no whitelist admits it."""
        if not parts:
            return False
        listed = admits(self.spec, [stage.spec for stage in stages])(name)
        has = {part.index for part in parts}
        return not any(listed) and any(stage in has for stage in stages)

    async def parts(self, name: ProjectName, refresh: bool = False) -> tuple[list[Part], UpstreamDown | None]:
        """What each index of the resolution order has of a project, and what kept one of them from answering."""
        parts: list[Part] = []
        trouble: UpstreamDown | None = None
        stages, mirrors = self._split()
        for stage in stages:
            with suppress(NotFound):
                parts.append(Part(index=stage, project=await stage.project(name)))
        if self._is_private(name, stages, parts):
            return parts, None
        asked = await all_of([self._ask(mirror, name, refresh) for mirror in mirrors])
        for answer in asked:
            if isinstance(answer, Part):
                parts.append(answer)
            elif answer is not None:
                trouble = answer
        return parts, trouble

    async def _ask(self, mirror: Mirror, name: ProjectName, refresh: bool) -> Part | UpstreamDown | None:
        try:
            return Part(index=mirror, project=await mirror.project(name, refresh))
        except NotFound:
            return None
        except UpstreamDown as error:
            self.log.warn("{index}: {base}: {why}", index=self.name, base=mirror.name, why=str(error))
            return error

    async def releases(self, name: ProjectName) -> dict[str, Release]:
        """The versions of a project over all indexes that may show theirs.

        :raises NotFound: none has the project.
        :raises UpstreamDown: nobody knows.
        """
        parts, trouble = await self.parts(name)
        if not parts:
            raise trouble or NotFound(f"{self.name} has no project {name}")
        layers = []
        for part in parts:
            if isinstance(part.index, Stage):
                layers.append(await part.index.releases(name))
            else:
                layers.append(mirrored_releases(part.index.name, part.project))
        return layered_releases(layers)

    async def open(self, name: ProjectName, path: str) -> IBody:
        return await self.own.open(name, path)


def _has(index: Stage | Mirror, name: ProjectName, parts: list[Part]) -> bool:
    """Add what an index has to the parts, if that can be told without asking anybody; ``False`` if it cannot."""
    try:
        project = index.at_hand(name)
    except NotFound:
        return True
    if project is not None:
        parts.append(Part(index=index, project=project))
    return project is not None


def admits(spec: StageSpec, stages: Sequence[StageSpec]) -> Callable[[str], list[bool]]:
    """Whether a project is whitelisted when the walk through the stages has come to each of them (contract devpi 17.2).

    Once it is, it stays so; an index whose whitelist admits the project does not hide the mirrors.
    """
    union = spec.options.get("mirror_whitelist_inheritance", "union") == "union"

    def walk(name: str) -> list[bool]:
        allowed: set[str] | None = None
        listed = False
        result = []
        for stage in stages:
            own = set(stage.options["mirror_whitelist"])
            before = own if allowed is None else allowed
            allowed = before | own if union else before & own
            listed = listed or "*" in allowed or name in allowed
            result.append(listed)
        return result

    return walk


def merged(name: ProjectName, revision: str, parts: Sequence[Part]) -> Project:
    """One listing made of several; the first index that has a file name wins."""
    files: dict[str, File] = {}
    versions: dict[str, None] = {}
    for part in parts:
        for file in part.project.files:
            if file.name not in files:
                files[file.name] = file if file.index == part.index.name else evolve(file, index=part.index.name)
        versions |= dict.fromkeys(part.project.versions or ())
    return Project(
        name=name,
        revision=f"l{revision}",
        files=tuple(files.values()),
        versions=tuple(versions) or None,
        status=parts[0].project.status if len(parts) == 1 else None,  # what one index says is not true of the others
    )


def resolution_order(name: str, bases_of: Callable[[str], Sequence[str] | None]) -> list[str]:
    """The names of an index and all its bases, breadth first, each once; what does not exist is left out.

    :param bases_of: the bases of an index; ``None`` if it does not exist.
    """
    order: list[str] = []
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        below = bases_of(current)
        if current in order or below is None:
            continue
        order.append(current)
        waiting.extend(below)
    return order
