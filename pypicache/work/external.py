"""Pushing a release to a repository elsewhere, as an upload tool would (contract devpi 13.2)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IBodyProducer

from pypicache.core.changes import FileSaved
from pypicache.core.errors import PypicacheError
from pypicache.core.kinds import file_type
from pypicache.store.local import Shelf
from pypicache.upstream.forms import Fields, bytes_body, fields_of, form_with_file, plain_form
from pypicache.upstream.outside import Outside
from pypicache.work.push import DOCS, RELEASE, Action, Parcel

REGISTERED = frozenset({200, 201, 410})  # PyPI knows no separate registration any more
DONE = frozenset({200, 201})


@frozen(kw_only=True)
class Repository:
    """Where a release is pushed to."""

    url: str
    user: str
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The header of this name."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


class External:
    """Sends releases to repositories elsewhere."""

    def __init__(self, outside: Outside, shelf: Shelf, clock: IReactorTime) -> None:
        self._outside = outside
        self._shelf = shelf
        self._clock = clock

    @property
    def private(self) -> bool:
        """Whether repositories may be in private networks."""
        return self._outside.private

    async def push(self, parcel: Parcel, to: Repository, register: bool) -> tuple[bool, list[Action]]:
        """Send a release: whether that went well, and what was answered to each of its parts."""
        metadata = fields_of(parcel.metadata)
        name, version = str(parcel.metadata["name"]), str(parcel.metadata["version"])
        actions: list[Action] = []
        if register:
            kind, form = plain_form([(":action", "submit"), *metadata])
            said = await self._send(to, "register", kind, bytes_body(form))
            actions.append(said.failure or [said.code, "register", name, version])
            if said.code not in REGISTERED:
                return False, actions
        for file in parcel.of(RELEASE):
            file_kind, python = file_type(file.name)
            fields = {
                ":action": "file_upload", "filetype": file_kind, "pyversion": python,
                "sha256_digest": file.hashes["sha256"],
            }  # fmt: skip
            said = await self._file(to, "release upload", file, file.name, fields, metadata)
            text = "" if said.code in DONE else said.text
            actions.append(said.failure or [said.code, "upload", f"{parcel.index}/{file.path}", text])
        for file in parcel.of(DOCS):
            fields = {":action": "doc_upload"}
            said = await self._file(to, "documentation upload", file, f"{name}.zip", fields, metadata)
            actions.append(said.failure or [said.code, "docfile", name])
        return bool(actions) and actions[-1][0] in DONE, actions

    async def _file(
        self, to: Repository, what: str, file: FileSaved, name: str, fields: Mapping[str, str], metadata: Fields
    ) -> _Said:
        given = [*fields.items(), *((key, value) for key, value in metadata if key not in fields)]
        place = self._shelf.path(f"{file.index}/{file.path}")
        try:
            kind, form = form_with_file(given, name, place, self._clock)
        except OSError as error:
            return _Said.nothing(what, f"{file.name}: {error.strerror}")
        return await self._send(to, what, kind, form)

    async def _send(self, to: Repository, what: str, content_type: str, body: IBodyProducer) -> _Said:
        headers = {"Content-Type": content_type, "Authorization": to.authorization}
        try:
            code, text = await self._outside.post(to.url, headers, body)
        except PypicacheError as error:
            return _Said.nothing(what, str(error))
        return _Said(code=code, text=text)


@frozen(kw_only=True)
class _Said:
    """What the repository said to one request."""

    code: int
    text: str
    failure: Action | None = None  # what kept us from asking, as the action log has it

    @classmethod
    def nothing(cls, what: str, why: str) -> _Said:
        return cls(code=-1, text=why, failure=[-1, f"exception on {what}:", why])
