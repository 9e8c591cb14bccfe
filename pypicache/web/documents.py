"""Documentation on the wire: the files of the archive in which it was uploaded (contract devpi 14)."""

from __future__ import annotations

from mimetypes import guess_type

from twisted.web.server import Request

from pypicache.core.errors import BadInput, NotFound
from pypicache.core.model import ProjectName, project_name
from pypicache.core.stage import StageSpec
from pypicache.ledger.state import State
from pypicache.web.answers import answer, cache_control, header
from pypicache.web.callers import Callers
from pypicache.web.conditions import not_modified
from pypicache.web.failures import failed
from pypicache.web.pour import flow_out
from pypicache.web.segments import application
from pypicache.work.documents import INDEX, Documents

READ = ["GET", "HEAD"]
# Scripts of an uploaded page run, but as of an origin of their own: they see neither our cookies nor our other pages.
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"


class DocumentPages:
    """Answers for documentation."""

    app = application()

    def __init__(self, documents: Documents, state: State, callers: Callers) -> None:
        self._documents = documents
        self._state = state
        self._callers = callers

    @app.route("/<user>/<index>/<project>/<version>/+doc/", methods=READ)
    @app.route("/<user>/<index>/<project>/<version>/+doc", methods=READ)
    async def first(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """The first page is at an address of its own, so that its links work."""
        spec = await self._spec(request, user, index)
        await self._documents.find(spec.name, _name(project), version)
        location = INDEX if request.path.endswith(b"/") else f"+doc/{INDEX}"
        answer(request, b"", None, code=302, headers={"location": location, "cache-control": "no-store"})

    @app.route("/<user>/<index>/<project>/<version>/+doc/<path:path>", methods=READ)
    async def page(self, request: Request, user: str, index: str, project: str, version: str, path: str) -> None:
        """One file of a documentation."""
        spec = await self._spec(request, user, index)
        found = await self._documents.find(spec.name, _name(project), version)
        page = await self._documents.page(found, path)
        try:
            headers = {"etag": f'"{page.etag}"', "cache-control": cache_control(request, "max-age=60, public")}
            tags = header(request, "if-none-match")
            if tags is not None and not_modified(tags, page.etag):
                answer(request, b"", None, code=304, headers=headers)
                return
            for name, value in headers.items():
                request.setHeader(name, value)
            request.setHeader("content-type", _content_type(path))
            request.setHeader("content-length", str(page.size))
            request.setHeader("content-security-policy", SANDBOX)
            if request.method == b"HEAD":
                request.finish()
            else:
                await flow_out(request, page.reader)
        finally:
            page.reader.close()

    async def _spec(self, request: Request, user: str, index: str) -> StageSpec:
        spec = self._state.specs.get(f"{user}/{index}")
        if not isinstance(spec, StageSpec):
            raise NotFound(f"The stage {user}/{index} could not be found.")
        await self._callers.reader(request, spec)
        return spec

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _content_type(path: str) -> str:
    kind = guess_type(path.rpartition("/")[2], strict=False)
    if kind[0] is None or kind[1] is not None:
        return "application/octet-stream"
    return f"{kind[0]}; charset=utf-8" if kind[0].startswith("text/") else kind[0]


def _name(text: str) -> ProjectName:
    try:
        return project_name(text)
    except BadInput as error:
        raise NotFound(str(error)) from error
