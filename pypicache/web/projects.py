"""Projects, versions and files as JSON, and their deletion (contract devpi 8 and 11)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from twisted.web.server import Request

from pypicache.core.access import Verb
from pypicache.core.dist import projects_of, version_of
from pypicache.core.errors import NotFound, Offline, PypicacheError, UpstreamDown
from pypicache.core.model import File, ProjectName
from pypicache.index.catalog import Catalog, Index
from pypicache.index.layered import Layered
from pypicache.index.merged_names import names_in
from pypicache.index.mirror import Mirror
from pypicache.index.names import ListFormat, Listing
from pypicache.index.releases import Link, Release, mirrored_releases
from pypicache.memory import Memory
from pypicache.store.bodies import uploaded
from pypicache.tasks import InThread
from pypicache.web.answers import envelope, message_answer
from pypicache.web.callers import Callers
from pypicache.web.conditions import http_date
from pypicache.web.failures import failed
from pypicache.web.places import outside_url
from pypicache.web.segments import application, has_query, project_in_address
from pypicache.work.deleting import Deleting

READ = ["GET", "HEAD"]


class Projects:
    """What is listed, in full, for programs.

    :param lists: the project lists of mirrors, by the names of these.
    """

    app = application()

    def __init__(
        self,
        catalog: Catalog,
        deleting: Deleting,
        callers: Callers,
        lists: Mapping[str, Listing],
        *,
        memory: Memory,
        in_thread: InThread,
        configured_url: str | None,
    ) -> None:
        self._catalog = catalog
        self._deleting = deleting
        self._callers = callers
        self._lists = lists
        self._memory = memory
        self._in_thread = in_thread
        self._configured_url = configured_url

    # -- reading; whoever calls has asked whether the client may -----------------------------------------------------

    async def names(self, index: Index) -> list[str]:
        """The projects that an index has itself, without its bases: normalised and sorted."""
        if isinstance(index, Layered):
            return await index.own.names()
        try:
            found = await self._lists[index.name].file(ListFormat.JSON, compressed=False)
        except UpstreamDown:
            return await self._memory.projects(index.name)
        names: list[str] = await self._in_thread(names_in, found.path)
        return names

    async def project(self, request: Request, index: Index, project: str) -> None:
        """All versions of a project (contract devpi 8.1)."""
        name = project_in_address(project)
        try:
            releases = await self._releases(index, name, own_only=has_query(request, "ignore_bases"))
        except NotFound as error:
            raise NotFound(f"no project {name!r}") from error
        base = outside_url(request, self._configured_url)
        envelope(request, "projectconfig", {version: data(release, base) for version, release in releases.items()})

    async def file(self, request: Request, index: Index, path: str) -> None:
        """What is known of a file (contract devpi 11.2)."""
        if isinstance(index, Layered):
            stored = await index.own.stored(path)
            known = File(name=stored.name, url="", hashes=stored.hashes, upload_time=stored.uploaded)
            described = describe(known, stored.project, stored.version)
        else:
            name, known = await _find(index, path)
            described = {**describe(known, name, version_of(known.name, name) or ""), "url": known.url}
        envelope(request, "releasefilemeta", described)

    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>/", methods=READ)
    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>", methods=READ)
    async def version(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """One version of a project, the indexes below merged in (contract devpi 8.2)."""
        name = project_in_address(project)
        found = self._catalog.find(user, index)
        await self._callers.reader(request, found.spec, name)
        missing = NotFound(f"The version {version} of project {project} does not exist.")
        try:
            release = (await self._releases(found, name)).get(version)
        except NotFound as error:
            raise missing from error
        if release is None:
            raise missing
        envelope(request, "versiondata", data(release, outside_url(request, self._configured_url)))

    async def _releases(self, index: Index, name: ProjectName, own_only: bool = False) -> dict[str, Release]:
        """The versions of a project.

        :param own_only: without bases; empty if only these have the project.
        :raises NotFound: no index has the project.
        """
        if isinstance(index, Mirror):
            return mirrored_releases(index.name, await index.project(name))
        if own_only:
            own = await index.own.releases(name)
            if not own:
                await index.project(name)
            return own
        return await index.releases(name)

    # -- deleting ----------------------------------------------------------------------------------------------------

    @app.route("/<plain:user>/<plain:index>/<plain:project>/", methods=["DELETE"])
    @app.route("/<plain:user>/<plain:index>/<plain:project>", methods=["DELETE"])
    async def delete_project(self, request: Request, user: str, index: str, project: str) -> None:
        """Delete a project."""
        name = project_in_address(project)
        found = await self._deletable(request, user, index, name)
        await self._deleting.project(found, name, force=_forced(request))
        message_answer(request, f"project {project} deleted from stage {found.name}")

    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>/", methods=["DELETE"])
    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>", methods=["DELETE"])
    async def delete_version(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """Delete a version."""
        name = project_in_address(project)
        found = await self._deletable(request, user, index, name)
        await self._deleting.version(found, name, version, force=_forced(request))
        message_answer(request, f"project {project!r} version {version!r} deleted")

    @app.route("/<plain:user>/<plain:index>/+f/<first>/<second>/<filename>", methods=["DELETE"])
    async def delete_file(
        self, request: Request, user: str, index: str, first: str, second: str, filename: str
    ) -> None:
        """Delete a file."""
        await self._delete_file(request, user, index, f"+f/{first}/{second}/{filename}")

    @app.route("/<plain:user>/<plain:index>/+e/<directory>/<filename>", methods=["DELETE"])
    async def delete_undigested_file(
        self, request: Request, user: str, index: str, directory: str, filename: str
    ) -> None:
        """Delete a file of an upstream that gives no digests."""
        await self._delete_file(request, user, index, f"+e/{directory}/{filename}")

    async def _delete_file(self, request: Request, user: str, index: str, path: str) -> None:
        found = await self._deletable(request, user, index, await self._project_of(user, index, path))
        await self._deleting.file(found, path, force=_forced(request))
        message_answer(request, f"package '{found.name}/{path}' deleted")

    async def _project_of(self, user: str, index: str, path: str) -> ProjectName | None:
        """The project that a token must admit, for a file of it to be deleted."""
        found = self._catalog.find(user, index)
        if isinstance(found, Layered):
            try:
                return ProjectName((await found.own.stored(path)).project)
            except NotFound:  # whoever deletes says so, to those who may know
                pass
        return next(iter(projects_of(path.rpartition("/")[2])), None)

    async def _deletable(self, request: Request, user: str, index: str, project: ProjectName | None) -> Index:
        """An index, for somebody who may delete there."""
        found = self._catalog.find(user, index)
        caller = await self._callers.of(request)
        if not self._callers.shows(caller, found.spec):
            raise NotFound(f"The stage {found.name} could not be found.")
        self._callers.require(caller, found.spec.access, Verb.DELETE, project)
        return found

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def data(release: Release, base: str) -> dict[str, object]:
    """A version as the devpi client reads it (contract devpi 8.3).

    :param base: the outside URL.
    """
    shadowing = [data(below, base) for below in release.shadowed]
    return {
        **release.metadata,
        "+links": [_link(link, base) for link in release.links],
        **({"+shadowing": shadowing} if shadowing else {}),
    }


def _link(link: Link, base: str) -> dict[str, object]:
    best = next(iter(link.hashes.items()), None)
    shown: dict[str, object] = {
        "rel": link.rel,
        "href": href(base, link.index, link.path),
        "hash_spec": "" if best is None else f"{best[0]}={best[1]}",
        "hashes": dict(link.hashes),
    }
    if link.log is not None:
        shown["log"] = [dict(item) for item in link.log]
    if link.of is not None:
        shown["for_href"] = href(base, link.index, link.of)
    return shown


def href(base: str, index: str, path: str) -> str:
    """The absolute address of a file; the devpi client compares its beginning with that of the index."""
    return f"{base}/{quote(index, safe='/@')}/{quote(path, safe='/+!')}"


def describe(file: File, project: str, version: str) -> dict[str, object]:
    """A file's entry (contract devpi 11.2)."""
    best = file.best_hash
    when = uploaded(file)
    return {
        "last_modified": None if when is None else http_date(when).decode(),
        "hash_spec": "" if best is None else f"{best[0]}={best[1]}",
        "hashes": dict(file.hashes),
        "project": project,
        "version": version,
    }


async def _find(mirror: Mirror, path: str) -> tuple[ProjectName, File]:
    missing: PypicacheError = NotFound(f"{mirror.name} has no file {path!r}")
    for name in projects_of(path.rpartition("/")[2]):
        try:
            return name, (await mirror.project(name)).file(path)
        except (NotFound, Offline) as error:
            missing = error
    raise missing


def _forced(request: Request) -> bool:
    return has_query(request, "force")
