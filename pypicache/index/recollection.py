"""What is left of a mirror's projects where nobody is asked: remembered pages, and files on the shelf."""

from __future__ import annotations

from hashlib import sha256

from attrs import evolve
from twisted.logger import Logger

from pypicache.core.errors import BadInput, Offline
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.simple_read import parse_page
from pypicache.core.spec import MirrorSpec
from pypicache.index.known import Known
from pypicache.index.side_files import SideFiles, promised
from pypicache.memory import Memory
from pypicache.tasks import InThread

LARGE = 64 * 2**10  # bytes; larger pages are read in a thread


class Recollection:
    """Reads what a mirror remembers.

    :param expiry: for how many seconds a page counts as fresh.
    """

    log = Logger()

    def __init__(
        self, spec: MirrorSpec, expiry: float, memory: Memory, side_files: SideFiles, in_thread: InThread
    ) -> None:
        self._spec = spec
        self._expiry = expiry
        self._memory = memory
        self._side_files = side_files
        self._in_thread = in_thread

    async def load(self, name: ProjectName) -> Known:
        """The remembered page of a project; nothing is known if there is none that can be read."""
        known = Known()
        page = await self._memory.page(self._spec.name, name)
        if page is not None:
            try:
                project = await self.parse(name, page.body, page.content_type, page.url)
                known.project = await self._side_files.overlay(
                    evolve(project, serial=page.serial, checked=page.checked)
                )
            except BadInput as error:
                self.log.warn(
                    "{index}: the remembered page of {name}: {why}", index=self._spec.name, name=name, why=str(error)
                )
            else:
                same = self._spec.url is not None and page.source == self._spec.url.base
                known.page = evolve(
                    page, body=b"", etag=page.etag if same else None, modified=page.modified if same else None
                )
                known.expires = page.checked + self._expiry if same and page.missing is None else 0.0
        return known

    async def parse(self, name: ProjectName, body: bytes, content_type: str, url: str) -> Project:
        """Read an upstream's page; large ones in a thread.

        :raises BadInput: it cannot be read.
        """
        project: Project
        if len(body) > LARGE:
            project = await self._in_thread(parse_page, body, content_type, url, name, self._spec.name)
        else:
            project = parse_page(body, content_type, url, name, self._spec.name)
        if project.status is not None and project.status["status"] == "quarantined":
            # Nothing of it may be offered (PEP 792), not even where the upstream goes on to list it.
            return project.keep(lambda file: False, "quarantined")
        return promised(project) if self._spec.provides_core_metadata else project

    async def of_files(self, name: ProjectName) -> Project | None:
        """What can be said of a project of which only files are left: their names and digests."""
        held = [file for file in await self._memory.held(self._spec.name, name) if not file.key.endswith(".metadata")]
        files = tuple(
            File(name=file.key.rpartition("/")[2], url="", hashes={"sha256": file.sha256}, size=file.size)
            for file in sorted(held, key=lambda held: held.key.rpartition("/")[2])
        )
        files = tuple(file for file in files if any(other.key == f"{self._spec.name}/{file.path}" for other in held))
        if not files:
            return None
        revision = sha256(" ".join(file.path for file in files).encode()).hexdigest()[:20]
        return await self._side_files.overlay(Project(name=name, revision=revision, files=files))

    async def held_only(self, name: ProjectName, known: Known) -> Project:
        """What is known of a project, without the files that are not held.

        :raises Offline: nothing of it is held.
        """
        if known.project is None:
            project = await self.of_files(name)
            if project is None:
                raise Offline(f"nothing of {name} is held, and the server runs offline")
            return project
        paths = {
            held.key.removeprefix(self._spec.name + "/") for held in await self._memory.held(self._spec.name, name)
        }
        mark = sha256(" ".join(sorted(paths)).encode()).hexdigest()[:12]
        return known.project.keep(lambda file: file.path in paths, mark)
