"""The JSON API of PyPI, for each index (contract clients 5.2)."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

import orjson
from twisted.web.server import Request

from pypicache.core.dist import version_key
from pypicache.core.errors import NotFound
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.project_json import by_version, describe, latest
from pypicache.core.simple_write import versions_of
from pypicache.index.catalog import Catalog, Index
from pypicache.index.mirror import Mirror
from pypicache.tasks import InThread
from pypicache.web.answers import answer, header
from pypicache.web.callers import Callers
from pypicache.web.conditions import not_modified
from pypicache.web.failures import failed
from pypicache.web.places import outside_url
from pypicache.web.segments import application, project_in_address

READ = ["GET", "HEAD"]


class JsonApi:
    """Projects as tools of PyPI's JSON API read them: what an index lists, with all that is said of its versions."""

    app = application()

    def __init__(self, callers: Callers, catalog: Catalog, in_thread: InThread, *, configured_url: str | None) -> None:
        self._callers = callers
        self._catalog = catalog
        self._in_thread = in_thread
        self._configured_url = configured_url

    @app.route("/<plain:user>/<plain:index>/pypi/<plain:project>/json/", methods=READ)
    @app.route("/<plain:user>/<plain:index>/pypi/<plain:project>/json", methods=READ)
    @app.route("/<plain:user>/<plain:index>/<plain:project>/json/", methods=READ)
    @app.route("/<plain:user>/<plain:index>/<plain:project>/json", methods=READ)
    async def project(self, request: Request, user: str, index: str, project: str) -> None:
        """The newest version, and the files of all."""
        await self._answer(request, user, index, project, None)

    @app.route("/<plain:user>/<plain:index>/pypi/<plain:project>/<version>/json/", methods=READ)
    @app.route("/<plain:user>/<plain:index>/pypi/<plain:project>/<version>/json", methods=READ)
    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>/json/", methods=READ)
    @app.route("/<plain:user>/<plain:index>/<plain:project>/<version>/json", methods=READ)
    async def version(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """One version."""
        await self._answer(request, user, index, project, version)

    async def _answer(self, request: Request, user: str, index: str, project: str, version: str | None) -> None:
        name = project_in_address(project)
        found = self._catalog.find(user, index)
        await self._callers.reader(request, found.spec, name)
        listed = await found.project(name)
        metadata = await self._metadata(found, name)
        base = outside_url(request, self._configured_url)

        def write() -> bytes:
            return _write(listed, metadata, version, base, found.name)

        body: bytes = await self._in_thread(write)
        etag = sha256(body).hexdigest()[:32]
        headers = {"etag": f'"{etag}"', "cache-control": "no-cache"}
        tags = header(request, "if-none-match")
        if tags is not None and not_modified(tags, etag):
            answer(request, b"", None, code=304, headers=headers)
        else:
            answer(request, body, b"application/json", headers=headers)

    async def _metadata(self, index: Index, name: ProjectName) -> dict[str, dict[str, object]]:
        """What is said of each version, besides its files; of a mirror's there is only what its page says."""
        if isinstance(index, Mirror):
            return {}
        return {version: dict(release.metadata) for version, release in (await index.releases(name)).items()}

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _write(
    project: Project, metadata: dict[str, dict[str, object]], wanted: str | None, base: str, index: str
) -> bytes:
    releases = by_version(project, list(dict.fromkeys([*metadata, *versions_of(project)])))
    version = latest(releases) if wanted is None else _spelled(wanted, list(releases))
    if version is None:
        raise NotFound(
            f"{index} lists no version of {project.name}"
            if wanted is None
            else f"The version {wanted} of project {project.name} does not exist."
        )

    def url_of(file: File) -> str:
        return f"{base}/{quote(file.index or index, safe='/@')}/{quote(file.path, safe='/+')}"

    page = f"{base}/{quote(index, safe='/@')}/{project.name}"
    described = describe(project, metadata, releases, version, url_of=url_of, page=page, whole=wanted is None)
    return orjson.dumps(described, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _spelled(wanted: str, versions: list[str]) -> str | None:
    """A version as the index spells it."""
    if wanted in versions:
        return wanted
    return next((version for version in versions if version_key(version) == version_key(wanted)), None)
