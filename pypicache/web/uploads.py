"""What uploaders send: forms, results of tests, yanks; and the provenance of what came with attestations."""

from __future__ import annotations

from urllib.parse import unquote

import orjson
from twisted.web.server import Request

from pypicache.core.access import Caller, Verb
from pypicache.core.changes import FileSaved
from pypicache.core.errors import BadInput, Denied, Gone, NeedsLogin, NotFound, TooLarge
from pypicache.core.form import Form
from pypicache.core.model import ProjectName, project_name
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Ledger, file_at
from pypicache.ledger.state import State
from pypicache.tasks import InThread
from pypicache.web.answers import NotAcceptable, answer, envelope, header, reason
from pypicache.web.bodies import SMALL, BodyRequest, Collected, Intake, body_of, json_of
from pypicache.web.callers import Callers
from pypicache.web.conditions import not_modified
from pypicache.web.failures import failed
from pypicache.web.forms import MOST_TEXT, FormIntake
from pypicache.web.negotiation import SHORT_FORM, is_form
from pypicache.web.segments import application
from pypicache.work.publish import Publisher, Stored
from pypicache.work.yank import yank

MOST_TOX = 16 * 2**20  # bytes of a result of tests, which has what the tests printed
MOST_PROVENANCE = 16 * 2**20  # bytes
HTML = b"text/html; charset=utf-8"
INTEGRITY = "application/vnd.pypi.integrity.v1+json"


class Uploads:
    """Takes in what is uploaded to indexes.

    :param most: bytes of one file.
    """

    app = application()

    def __init__(
        self,
        *,
        publisher: Publisher,
        ledger: Ledger,
        state: State,
        callers: Callers,
        in_thread: InThread,
        most: int,
    ) -> None:
        self.publisher = publisher
        self.callers = callers
        self._ledger = ledger
        self._state = state
        self._in_thread = in_thread
        self._most = most

    # -- before the body -------------------------------------------------------------------------------------------

    def stream(self, request: BodyRequest, method: bytes, path: bytes, length: int | None) -> Intake | None:
        """Who takes the body of a request (:data:`pypicache.web.bodies.Stream`); the path is without a prefix."""
        if method != b"POST":
            return None
        parts = [unquote(part) for part in path.decode("latin-1").strip("/").split("/")]
        content_type = header(request, "content-type") or ""
        if len(parts) == 6 and parts[2] == "+f":
            return Collected(lambda: self._admit_tox(request, "/".join(parts[:2])), MOST_TOX)
        if is_form(content_type) and (len(parts) == 2 or (len(parts) == 3 and parts[2] == "legacy")):
            if SHORT_FORM in content_type.lower() and length is not None and length <= SMALL:
                return None  # it may be JSON under a wrong name, which only its body tells
            return self._intake(request, content_type, "/".join(parts[:2]), length)
        return None

    def _intake(self, request: BodyRequest, content_type: str, index: str, length: int | None) -> FormIntake:
        return FormIntake(
            request,
            content_type,
            judge=lambda: self._admit(request, index, length),
            answer=lambda intake: self._answer(request, index, intake),
            spool=lambda name: self.publisher.files.incoming(name, self._most),
            in_thread=self._in_thread,
        )

    async def _admit(self, request: BodyRequest, index: str, length: int | None) -> None:
        generation = self._state.generation
        spec, caller = await self._uploader(request, index)
        request.admitted = (generation, spec, caller)
        if length is not None and length > self._most + MOST_TEXT:
            raise TooLarge(f"content: the file may have {self._most} bytes here (max_upload_size)")

    async def _admit_tox(self, request: Request, index: str) -> None:
        spec = self.stage(index)
        caller = await self.callers.of(request)
        try:
            self.callers.require(caller, spec.access, Verb.TOXRESULT_UPLOAD)
        except (Denied, NeedsLogin) as error:
            advice = "devpi test --no-upload runs the tests without sending their results"
            raise Denied(f"no permission to upload tox results: {error}; {advice}") from error

    async def _uploader(self, request: Request, index: str, project: str | None = None) -> tuple[StageSpec, Caller]:
        admitted: tuple[int, StageSpec, Caller] | None = getattr(request, "admitted", None)
        if admitted is not None:
            generation, spec, caller = admitted
            if generation == self._state.generation and spec.name == index and caller.scope is None:
                return spec, caller  # nothing changed while the body came; tokens may be limited to projects
        spec = self.stage(index)
        caller = await self.callers.of(request)
        self.callers.require(caller, spec.access, Verb.UPLOAD, project)
        return spec, caller

    def stage(self, index: str) -> StageSpec:
        """The options of an index that takes uploads.

        :raises NotFound: there is none of this name, or it is a mirror.
        """
        spec = self._state.specs.get(index)
        if spec is None:
            raise NotFound(f"The stage {index} could not be found.")
        if not isinstance(spec, StageSpec):
            raise NotFound("cannot submit to mirror index")
        return spec

    # -- forms -----------------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/legacy/", methods=["POST"])
    @app.route("/<user>/<index>/legacy", methods=["POST"])
    @app.route("/<user>/<index>/", methods=["POST"])
    @app.route("/<user>/<index>", methods=["POST"])
    async def upload(self, request: Request, user: str, index: str) -> None:
        """What tools that upload send (contract devpi 12, contract clients 2)."""
        await self._answer(request, f"{user}/{index}", await self._form(request, f"{user}/{index}"))

    async def _answer(self, request: Request, index: str, intake: FormIntake) -> None:
        try:
            stored = await self._publish(request, index, intake)
        finally:
            intake.leave()
        request.setResponseCode(200, reason(stored.sentence) or None)
        request.setHeader(b"content-type", HTML)
        request.setHeader(b"content-length", b"0")
        request.finish()

    async def _form(self, request: Request, index: str) -> FormIntake:
        """The form that was taken in while it came, or now that a short one is here."""
        intake = getattr(request, "intake", None)
        if isinstance(intake, FormIntake):
            return intake
        content_type = header(request, "content-type") or ""
        if SHORT_FORM not in content_type.lower() or not isinstance(request, BodyRequest):
            raise BadInput("Bad request: could not decode json")
        body = body_of(request)
        intake = self._intake(request, content_type, index, len(body))
        await intake.admit()
        intake.take(body)
        return intake

    async def _publish(self, request: Request, index: str, intake: FormIntake) -> Stored:
        form = intake.form()
        spec, caller = await self._uploader(request, index, _project(form))
        match form.text(":action"):
            case "submit":
                await self.publisher.submit(spec, form)
                return Stored()
            case "file_upload":
                return await self.publisher.file(spec, caller.user, form, intake.hand_over())
            case "doc_upload":
                return await self.publisher.docs(spec, caller.user, form, intake.hand_over())
            case "submit_pkg_info":
                raise Gone("action 'submit_pkg_info' is not supported any more; upload a file instead")
            case action:
                raise BadInput(f"action {action[:40]!r} not supported")

    # -- results of tests ------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/+f/<first>/<second>/<filename>", methods=["POST"])
    async def tox_result(self, request: Request, user: str, index: str, first: str, second: str, filename: str) -> None:
        """The result of testing a release file (contract devpi 11.4)."""
        intake = getattr(request, "intake", None)
        if not isinstance(intake, Collected):
            raise BadInput("Bad request: could not decode json")
        content = bytes(intake.body)
        try:
            orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadInput("Bad request: could not decode json") from error
        spec = self.stage(f"{user}/{index}")
        path, digest = await self.publisher.tox_result(spec, f"+f/{first}/{second}/{filename}", content)
        envelope(request, "toxresultpath", f"{spec.name}/{path}#sha256={digest}")

    # -- yanking ---------------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/<project>/<version>/+yank", methods=["POST"])
    async def yank(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """Yank a release; JSON may give the ``reason`` (PEP 592)."""
        content = json_of(request) if request.content is not None and request.content.read(1) else {}
        why = content.get("reason") if isinstance(content, dict) else content
        if not (why is None or isinstance(why, str)) or len(why or "") > 1000:
            raise BadInput("reason: expected a text of at most 1000 characters")
        await self._yank(request, f"{user}/{index}", project, version, " ".join((why or "").split()) or True)

    @app.route("/<user>/<index>/<project>/<version>/+unyank", methods=["POST"])
    @app.route("/<user>/<index>/<project>/<version>/+yank", methods=["DELETE"])
    async def unyank(self, request: Request, user: str, index: str, project: str, version: str) -> None:
        """Take a yank back."""
        await self._yank(request, f"{user}/{index}", project, version, False)

    async def _yank(self, request: Request, index: str, project: str, version: str, yanked: bool | str) -> None:
        try:
            name = project_name(project)
        except BadInput as error:
            raise NotFound(str(error)) from error
        spec, _ = await self._uploader(request, index, name)
        files = await yank(self._ledger, spec.name, name, version, yanked)
        done = "is yanked" if yanked else "is not yanked any more"
        result = {"project": name, "version": version, "yanked": yanked, "files": files}
        envelope(request, "yank", result, message=f"{name} {version} {done}")

    # -- attestations ----------------------------------------------------------------------------------------------

    @app.route("/<user>/<index>/+f/<first>/<second>/<filename>.provenance", methods=["GET", "HEAD"])
    async def provenance(self, request: Request, user: str, index: str, first: str, second: str, filename: str) -> None:
        """The attestations that came with a file (PEP 740)."""
        spec = self.stage(f"{user}/{index}")
        await self.callers.reader(request, spec)
        path = f"+f/{first}/{second}/{filename}"
        stored: FileSaved | None = await self._ledger.read(lambda connection: file_at(connection, spec.name, path))
        content = None
        if stored is not None and stored.attested:
            content = await self.publisher.files.read(f"{spec.name}/{path}.provenance", MOST_PROVENANCE)
        if content is None or stored is None:
            raise NotFound(f"there are no attestations of {filename}")
        accept = header(request, "accept") or "*/*"
        if not any(kind in accept for kind in (INTEGRITY, "application/json", "application/*", "*/*")):
            raise NotAcceptable(f"a provenance object can be had as {INTEGRITY}")
        etag = f"{stored.hashes['sha256']}-provenance"
        headers = {"etag": f'"{etag}"', "cache-control": "max-age=600, public"}
        if (tags := header(request, "if-none-match")) is not None and not_modified(tags, etag):
            answer(request, b"", None, code=304, headers=headers)
        else:
            answer(request, content, INTEGRITY.encode(), headers=headers)

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _project(form: Form) -> ProjectName | None:
    """The project of a form, for the limits of tokens; ``None`` if it is none, which is refused later."""
    try:
        return project_name(form.text("name"))
    except BadInput:
        return None
