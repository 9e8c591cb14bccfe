"""What an index says of a project's versions, besides their files (contract devpi 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from pypicache.core.changes import FileSaved
from pypicache.core.dist import version_of
from pypicache.core.model import NO_TEXT, NOTHING, Project

RELEASE = "releasefile"


@frozen(kw_only=True)
class Link:
    """One file of a version."""

    index: str
    path: str  # below the index, unquoted
    rel: str  # releasefile, doczip or toxresult
    hashes: Mapping[str, str] = field(default=NO_TEXT)  # algorithm -> lower case hex; the best one first
    log: Sequence[Mapping[str, Any]] | None = None  # None: a mirror has none
    of: str | None = None  # toxresult: the path of the release file


@frozen(kw_only=True)
class Release:
    """One version of a project, as one index has it."""

    version: str
    metadata: Mapping[str, Any] = field(default=NOTHING)
    links: tuple[Link, ...] = ()
    shadowed: tuple[Release, ...] = ()  # the same version in indexes below


def stored_releases(
    index: str, project: str, metadata: Mapping[str, Mapping[str, Any]], files: Iterable[FileSaved]
) -> dict[str, Release]:
    """The versions that a stage has.

    :param metadata: by version.
    """
    links: dict[str, list[Link]] = {version: [] for version in metadata}
    for file in files:
        best = {"sha256": file.hashes["sha256"]}
        link = Link(
            index=index, path=file.path, rel=file.kind, hashes=best | dict(file.hashes), log=file.log, of=file.of
        )
        links.setdefault(file.version, []).append(link)
    return {
        version: Release(
            version=version,
            metadata={"name": project, "version": version, **metadata.get(version, {})},
            links=tuple(found),
        )
        for version, found in links.items()
    }


def mirrored_releases(index: str, project: Project) -> dict[str, Release]:
    """The versions that a mirror lists, as the names of their files spell them."""
    found: dict[str, Release] = {}
    for file in project.files:
        version = version_of(file.name, project.name)
        if version is None:
            continue
        best = file.best_hash
        link = Link(index=index, path=file.path, rel=RELEASE, hashes={} if best is None else {best[0]: best[1]})
        release = found.get(version) or Release(version=version, metadata={"name": project.name, "version": version})
        said = {"requires_python": file.requires_python, "yanked": file.yanked or None}
        new = {key: value for key, value in said.items() if value is not None}
        found[version] = evolve(release, metadata=new | dict(release.metadata), links=(*release.links, link))
    return found


def layered_releases(layers: Iterable[Mapping[str, Release]]) -> dict[str, Release]:
    """The versions of several indexes: the first that has one says what it is, the others are shadowed."""
    found: dict[str, Release] = {}
    for layer in layers:
        for version, release in layer.items():
            above = found.get(version)
            found[version] = release if above is None else evolve(above, shadowed=(*above.shadowed, release))
    return found
