"""The routes: which address gives what (contract devpi 3, contract clients 1 and 5.2)."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files as resource_files
from typing import Any
from urllib.parse import quote

from twisted.web.server import Request

from pypicache.core.dist import projects_of
from pypicache.core.errors import BadInput, Denied, NotFound, Offline, PypicacheError
from pypicache.core.model import ProjectName, project_name
from pypicache.core.outside import path_of
from pypicache.index.catalog import Catalog, Index
from pypicache.index.layered import Layered
from pypicache.index.names import ListFormat
from pypicache.web.answers import answer, envelope, header, json_answer, keep_private
from pypicache.web.callers import Callers
from pypicache.web.failures import failed
from pypicache.web.negotiation import is_installer, prefers_simple_json, wants_json
from pypicache.web.pages import CONTENT_SECURITY_POLICY, Pages
from pypicache.web.places import outside_url
from pypicache.web.pour import pour
from pypicache.web.projects import Projects
from pypicache.web.said import lifetime
from pypicache.web.segments import application, has_query
from pypicache.web.simple import SimplePages
from pypicache.work.overview import Overview

HTML = b"text/html; charset=utf-8"
READ = ["GET", "HEAD"]
STATIC = {"css": b"text/css; charset=utf-8", "svg": b"image/svg+xml", "js": b"text/javascript; charset=utf-8"}
FEATURES = ["push-no-docs", "push-only-docs", "push-register-project", "server-keyvalue-parsing"]
FOR_PEOPLE = {"cache-control": "no-cache", "content-security-policy": CONTENT_SECURITY_POLICY}


class Wire:
    """Every route is short: ask, answer."""

    app = application()

    def __init__(
        self,
        catalog: Catalog,
        simple: SimplePages,
        overview: Overview,
        pages: Pages,
        callers: Callers,
        releases: Projects,
    ) -> None:
        self.catalog = catalog
        self.callers = callers
        self.simple = simple
        self.overview = overview
        self.pages = pages
        self.releases = releases

    def base(self, request: Request) -> str:
        """The address of our root as the client sees it."""
        return outside_url(request, self.overview.node.outside_url)

    # -- about the server ------------------------------------------------------------------------------------------

    @app.route("/", methods=READ)
    async def home(self, request: Request) -> None:
        """The first page; for programs the users and their indexes."""
        if wants_json(header(request, "accept")):
            envelope(request, "list:userconfig", await self._users(request, self.catalog.users()))
            return
        page = self.pages.home(await self._status(request), self.base(request))
        answer(request, page.encode(), HTML, headers=FOR_PEOPLE)

    @app.route("/+status", methods=READ)
    async def status(self, request: Request) -> None:
        """Figures and state; a page for those who ask for one."""
        status = await self._status(request)
        if "text/html" in (header(request, "accept") or "") and not wants_json(header(request, "accept")):
            answer(request, self.pages.status(status, self.base(request)).encode(), HTML, headers=FOR_PEOPLE)
        else:
            envelope(request, "status", status)

    @app.route("/+health/live", methods=READ)
    @app.route("/+health/ready", methods=READ)
    async def health(self, request: Request) -> None:
        """For load balancers: the process answers."""
        json_answer(request, {"status": "ok"})

    @app.route("/+static/<name>", methods=READ)
    async def static(self, request: Request, name: str) -> None:
        """Style sheets and the like of our own pages."""
        place = resource_files("pypicache.web").joinpath("static", name)
        kind = STATIC.get(name.rpartition(".")[2])
        if kind is None or name.startswith(".") or not place.is_file():
            raise NotFound(f"there is no {name}")
        answer(request, place.read_bytes(), kind, headers={"cache-control": "max-age=3600, public"})

    @app.route("/+api", methods=READ)
    @app.route("/<user>/+api", methods=READ)
    async def api(self, request: Request, user: str = "") -> None:
        """What the devpi client asks first (contract devpi 4)."""
        base = self.base(request)
        envelope(request, "apiconfig", await self._api(request, base))

    @app.route("/<user>/<index>/+api", methods=READ)
    async def index_api(self, request: Request, user: str, index: str) -> None:
        """The same for one index."""
        found = self.catalog.find(user, index)
        self.callers.require_shown(await self.callers.of(request), found.spec)
        base = self.base(request)
        addresses = {"index": f"{base}/{found.name}", "simpleindex": f"{base}/{found.name}/+simple/"}
        if isinstance(found, Layered):
            addresses["pypisubmit"] = f"{base}/{found.name}/"
        envelope(request, "apiconfig", {**await self._api(request, base), **addresses})

    async def _api(self, request: Request, base: str) -> dict[str, object]:
        keep_private(request)
        caller = await self.callers.of(request)
        status = ["noauth", "", []] if caller.user is None else ["ok", caller.user, sorted(caller.groups)]
        return {"login": f"{base}/+login", "authstatus": status, "features": FEATURES}

    async def _status(self, request: Request) -> dict[str, Any]:
        hidden = await self.callers.hidden(request)
        status: dict[str, Any] = {**await self.overview.status()}
        listed = {
            "indexes": [index for index in status["indexes"] if index["name"] not in hidden],
            "downloads": [download for download in status["downloads"] if download["index"] not in hidden],
        }
        return {**status, **listed}

    async def _users(self, request: Request, users: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Users and their indexes, as far as whoever asks may see them."""
        hidden = await self.callers.hidden(request)
        found: dict[str, dict[str, Any]] = {user: {**self.catalog.user(user), "indexes": {}} for user in users}
        specs = [spec for user in found for spec in self.catalog.specs(user).values() if spec.name not in hidden]
        for spec, options in zip(specs, await self.callers.options(request, *specs), strict=True):
            user, _, short = spec.name.partition("/")
            found[user]["indexes"][short] = options
        return found

    async def _readable(self, request: Request, user: str, index: str, project: str | None = None) -> Index:
        """An index, for somebody who may read it."""
        found = self.catalog.find(user, index)
        await self.callers.reader(request, found.spec, project)
        return found

    # -- simple pages ----------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/+simple/", methods=READ)
    @app.route("/<user>/<index>/+simple", methods=READ)
    async def projects(self, request: Request, user: str, index: str) -> None:
        """The list of all projects."""
        await self._projects(request, await self._readable(request, user, index))

    @app.route("/<user>/<index>/+simple/<project>/", methods=READ)
    @app.route("/<user>/<index>/+simple/<project>", methods=READ)
    async def project(self, request: Request, user: str, index: str, project: str) -> None:
        """The files of one project."""
        found = await self._readable(request, user, index, _name(project))
        await self.simple.project(request, found, _name(project), self._prefix(request))

    @app.route("/<user>/<index>/+simple/<project>/refresh", methods=["POST"])
    @app.route("/<user>/<index>/<project>/refresh", methods=["POST"])
    async def refresh(self, request: Request, user: str, index: str, project: str) -> None:
        """Ask the upstream again now (contract devpi 10)."""
        name = _name(project)
        mirror = await self._readable(request, user, index, name)
        await mirror.project(name, refresh=True)
        self._redirect(request, f"/{mirror.name}/+simple/{name}/")

    @app.route("/<user>/", methods=READ)
    @app.route("/<user>", methods=READ)
    async def user(self, request: Request, user: str) -> None:
        """A user and the indexes."""
        envelope(request, "userconfig", (await self._users(request, [user]))[user])

    @app.route("/<user>/<index>/", methods=READ)
    @app.route("/<user>/<index>", methods=READ)
    async def index(self, request: Request, user: str, index: str) -> None:
        """Installers are given the project list, programs the configuration, people the first page."""
        mirror = await self._readable(request, user, index)
        accept = header(request, "accept")
        if is_installer(header(request, "user-agent")) or prefers_simple_json(accept):
            await self._projects(request, mirror)
        elif "text/html" in (accept or "") and not wants_json(accept):
            page = self.pages.home(await self._status(request), self.base(request))
            answer(request, page.encode(), HTML, headers=FOR_PEOPLE)
        else:
            [shown] = await self.callers.options(request, mirror.spec)
            if not has_query(request, "no_projects"):
                shown["projects"] = await self.releases.names(mirror)
            envelope(request, "indexconfig", shown)

    @app.route("/<user>/<index>/<project>/", methods=READ)
    @app.route("/<user>/<index>/<project>", methods=READ)
    async def project_of_index(self, request: Request, user: str, index: str, project: str) -> None:
        """Installers may leave out ``+simple``; other programs are given all that is known of the versions."""
        if wants_json(header(request, "accept")) and not is_installer(header(request, "user-agent")):
            found = await self._readable(request, user, index, _name(project))
            await self.releases.project(request, found, project)
            return
        await self.project(request, user, index, project)

    async def _projects(self, request: Request, mirror: Index) -> None:
        if not request.path.endswith(b"/") and self.simple.list_format(request) is ListFormat.HTML:
            self._redirect(request, f"/{mirror.name}/+simple/")  # its links are relative
        else:
            await self.simple.projects(request, mirror)

    # -- files -----------------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/+f/<first>/<second>/<filename>", methods=READ)
    async def file(self, request: Request, user: str, index: str, first: str, second: str, filename: str) -> None:
        """One file whose digest is known."""
        await self._pour(request, user, index, f"+f/{first}/{second}/{filename}")

    @app.route("/<user>/<index>/+e/<directory>/<filename>", methods=READ)
    async def undigested_file(self, request: Request, user: str, index: str, directory: str, filename: str) -> None:
        """One file of an upstream that gives no digests."""
        await self._pour(request, user, index, f"+e/{directory}/{filename}")

    @app.route("/<user>/<index>/packages/<tag>/<letter>/<project>/<filename>", methods=READ)
    async def conventional(
        self, request: Request, user: str, index: str, tag: str, letter: str, project: str, filename: str
    ) -> None:
        """The address that distributions' packagers make up from project and file name."""
        mirror = await self._readable(request, user, index, _name(project))
        listed = await mirror.project(_name(project))
        found = next((file for file in listed.files if file.name == filename), None)
        if found is None:
            raise NotFound(f"{project} lists no file {filename!r}")
        self._redirect(request, f"/{found.index or mirror.name}/{found.path}")

    @app.route("/packages/<tag>/<letter>/<project>/<filename>", methods=READ)
    async def conventional_default(self, request: Request, tag: str, letter: str, project: str, filename: str) -> None:
        """The same without an index: that of the default mirror."""
        await self.conventional(request, "root", "pypi", tag, letter, project, filename)

    async def _pour(self, request: Request, user: str, index: str, path: str) -> None:
        mirror = self.catalog.find(user, index)
        caller = await self.callers.reader(request, mirror.spec)
        if wants_json(header(request, "accept")):
            await self.releases.file(request, mirror, path)
            return
        # A name such as a-b-1.zip may belong to a or to a-b; what is said of the most plausible project counts.
        unknown: list[PypicacheError] = []
        for project in projects_of(path.rpartition("/")[2].removesuffix(".metadata")):
            if not self.callers.may_read(caller, mirror.spec, project):
                unknown.append(Denied(f"this token cannot read {project} in {mirror.name!r}"))
                continue
            try:
                body = await mirror.open(project, path)
            except (NotFound, Offline) as error:
                unknown.append(error)
            else:
                await pour(request, body, lifetime(path))
                return
        raise unknown[0] if unknown else NotFound(f"{mirror.name} has no file {path!r}")

    # -- the common parts ------------------------------------------------------------------------------------------

    def _prefix(self, request: Request) -> str:
        return path_of(self.base(request))

    def _redirect(self, request: Request, path: str) -> None:
        location = self._prefix(request) + quote(path, safe="/+@")
        answer(request, b"", None, code=302, headers={"location": location, "cache-control": "no-store"})

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _name(text: str) -> ProjectName:
    try:
        return project_name(text)
    except BadInput as error:
        raise NotFound(str(error)) from error
