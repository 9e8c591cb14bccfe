"""What lies beside a wheel: its core metadata (PEP 658, PEP 714), the upstream's or our own copy out of the wheel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve
from twisted.logger import Logger

from pypicache.core.dist import is_wheel, wheel_metadata
from pypicache.core.errors import NotFound
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.spec import UpstreamURL
from pypicache.interfaces import IBody
from pypicache.memory import Held, Memory
from pypicache.store.library import Library
from pypicache.tasks import InThread

SUFFIX = ".metadata"
MANY = 1_000  # files of a project; to walk through more takes more than a millisecond, and is done in a thread


def promised(project: Project) -> Project:
    """The project with core metadata for every wheel, because the operator says that the upstream has it.

    See ``mirror_provides_core_metadata`` (contract devpi 7.2); for upstreams that serve it and do not say so.
    """
    files = tuple(
        evolve(file, core_metadata=True) if is_wheel(file.name) and file.core_metadata is None else file
        for file in project.files
    )
    return evolve(project, files=files, revision=f"{project.revision}.promised")


def lacks_none(project: Project) -> bool:
    """Whether all wheels of a project have core metadata."""
    return all(file.core_metadata or not is_wheel(file.name) for file in project.files)


def beside(file: File) -> File:
    """The core metadata that a listed file has, as a file of its own."""
    hashes = file.core_metadata if isinstance(file.core_metadata, Mapping) else {}
    return File(name=file.name + SUFFIX, url=file.url + SUFFIX, hashes=hashes, upload_time=file.upload_time)


def found_in(project: Project | None, path: str) -> File | None:
    """What a listing has at a path, which may be that of core metadata; ``None`` without a listing.

    :raises NotFound: there is no such file, or no core metadata of it.
    """
    if project is None:
        return None
    wanted = path.removesuffix(SUFFIX)
    file = project.file(wanted)
    if wanted == path:
        return file
    if not file.core_metadata:
        raise NotFound(f"no core metadata of {file.name} is offered")
    return beside(file)


class SideFiles:
    """The core metadata of one mirror's wheels.

    Where the upstream offers it, it is passed on and kept. Where it does not, it is taken out of a wheel as soon as
    that is held, and listed from then on; what we made is never evicted, for pages that list it live on in clients'
    caches.
    """

    log = Logger()

    def __init__(
        self, index: str, login: UpstreamURL | None, memory: Memory, library: Library, in_thread: InThread
    ) -> None:
        self._index = index
        self._login = login
        self._memory = memory
        self._library = library
        self._in_thread = in_thread

    # -- listing ---------------------------------------------------------------------------------------------------

    async def overlay(self, project: Project) -> Project:
        """The project with the metadata that we made ourselves."""
        if lacks_none(project):
            return project
        made = [held for held in await self._memory.held(self._index, project.name) if held.made]
        if not made:
            return project
        if len(project.files) <= MANY:
            return self._with(project, made)
        listed: Project = await self._in_thread(self._with, project, made)
        return listed

    def _with(self, project: Project, made: Sequence[Held]) -> Project:
        # One walk through the files, however many of them have metadata that we made.
        by_path = {self._path(held): held for held in made}
        found: list[Held] = []

        def one(file: File) -> File:
            held = None if file.core_metadata or not is_wheel(file.name) else by_path.get(file.path)
            if held is None:
                return file
            found.append(held)
            return evolve(file, core_metadata={"sha256": held.sha256})

        files = tuple(map(one, project.files))
        # In the order in which they are held, as if they had been added one after the other.
        marks = [f".{held.sha256[:12]}" for held in made if held in found]
        return evolve(project, files=files, revision=project.revision + "".join(marks)) if found else project

    def _path(self, held: Held) -> str:
        return held.key.removeprefix(self._index + "/").removesuffix(SUFFIX)

    def add(self, project: Project, held: Held) -> Project:
        """The project with one more wheel's metadata listed; as it is, if that is not what ``held`` says."""
        if not held.made:
            return project
        path = self._path(held)
        name = path.rpartition("/")[2]
        files = tuple(
            evolve(file, core_metadata={"sha256": held.sha256})
            if file.name == name and not file.core_metadata and file.path == path
            else file
            for file in project.files
        )
        if all(new is old for new, old in zip(files, project.files, strict=True)):
            return project
        return evolve(project, files=files, revision=f"{project.revision}.{held.sha256[:12]}")

    # -- the bytes -------------------------------------------------------------------------------------------------

    async def metadata(self, name: ProjectName, file: File) -> IBody:
        """The metadata of one listed file.

        :raises NotFound: the listing does not offer any.
        """
        if not file.core_metadata:
            raise NotFound(f"no core metadata of {file.name} is offered")
        key = f"{self._index}/{file.path}{SUFFIX}"
        if not self._library.shelf.holds(key) and await self._is_ours(name, file):
            await self._fetch_wheel(name, file)
        return self._library.open(key, name, beside(file), self._login)

    async def _is_ours(self, name: ProjectName, file: File) -> bool:
        page = await self._memory.held(self._index, name)
        key = f"{self._index}/{file.path}{SUFFIX}"
        return any(held.key == key and held.made for held in page)

    async def _fetch_wheel(self, name: ProjectName, file: File) -> None:
        """Have the wheel again, whose metadata we once made and lost."""
        key = f"{self._index}/{file.path}"
        if await self._library.obtain(key, name, file, self._login):
            await self.make(Held(key=key, project=name, sha256="", size=0))

    async def make(self, wheel: Held) -> None:
        """Take the metadata out of a wheel on the shelf, and put it beside it."""
        content: bytes | None = await self._in_thread(self._read, wheel.key)
        if content is None:
            self.log.info("{key} has no readable core metadata", key=wheel.key)
        else:
            await self._library.put(wheel.key + SUFFIX, ProjectName(wheel.project), content)

    def _read(self, key: str) -> bytes | None:
        try:
            with self._library.shelf.path(key).open("rb") as stream:
                return wheel_metadata(stream)
        except FileNotFoundError:  # it had to make way for something else already
            return None
