"""The project list of a stage index: its own names and those of everything below it (contract devpi 9.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from twisted.logger import Logger

from pypicache.core.errors import BadInput, UpstreamDown
from pypicache.core.model import project_name
from pypicache.index.mirror import Mirror
from pypicache.index.names import ListFile, ListFormat, Listing, entries_of, write_files
from pypicache.index.stage import Stage
from pypicache.memory import Memory
from pypicache.tasks import InThread, Once

Part = list[str] | Path
"""What one index adds: names, or a file of a mirror's list."""


class MergedList:
    """The project list of one stage index. No whitelist is applied to it, as it says nothing of files.

    It is written to disk when somebody asks for it and anything that it is made of has changed since.

    :param order: the indexes it is made of.
    :param lists: the lists of mirrors, by the names of these.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        directory: Path,
        order: Callable[[], Sequence[Stage | Mirror]],
        lists: Mapping[str, Listing],
        *,
        memory: Memory,
        in_thread: InThread,
    ) -> None:
        self._name = name
        self._directory = directory / name
        self._order = order
        self._lists = lists
        self._memory = memory
        self._in_thread = in_thread
        self._writing: Once[str, str] = Once()
        self._written: tuple[str, str] | None = None  # what it was made of, and its digest

    async def file(self, format_: ListFormat, compressed: bool) -> ListFile:
        parts: list[Part] = []
        mark = sha256()
        stale = False
        for index in self._order():
            if isinstance(index, Stage):
                names = await index.names()
                parts.append(names)
                mark.update(" ".join(names).encode() + b"\n")
            else:
                part, digest, known = await self._of_mirror(index)
                parts.append(part)
                mark.update(digest.encode() + b"\n")
                stale = stale or not known
        made_of = mark.hexdigest()
        path = self._directory / (format_.value + (".gz" if compressed else ""))
        if self._written is None or self._written[0] != made_of or not path.is_file():
            digest = await self._writing.start("list", lambda: self._write(made_of, parts)).join()
        else:
            digest = self._written[1]
        etag = f"{digest[:32]}-{format_.name[0].lower()}{'g' if compressed else ''}"
        return ListFile(path=path, etag=etag, checked=None, stale=stale)

    async def _of_mirror(self, mirror: Mirror) -> tuple[Part, str, bool]:
        """What a mirror adds, something that changes with it, and whether the upstream said so."""
        try:
            found = await self._lists[mirror.name].file(ListFormat.JSON, compressed=False)
        except UpstreamDown as error:
            self.log.warn("{index}: {base}: {why}", index=self._name, base=mirror.name, why=str(error))
            names = await self._memory.projects(mirror.name)
            return names, " ".join(names), False
        return found.path, found.etag, not found.stale

    async def _write(self, made_of: str, parts: Sequence[Part]) -> str:
        digest: str = await self._in_thread(write_files, self._directory, entries(parts), None, "")
        self._written = (made_of, digest)
        return digest


def entries(parts: Iterable[Part]) -> Iterator[Mapping[str, object]]:
    """The entries of a list made of several; the first that names a project counts. Blocks."""
    for part in parts:
        if isinstance(part, Path):
            for entry in entries_of(part):
                yield {"name": entry["name"]}  # serials of several upstreams mean nothing together
        else:
            for name in part:
                yield {"name": name}


def names_in(path: Path) -> list[str]:
    """The projects of a list that we wrote, normalised and sorted. Blocks."""
    names = set()
    for entry in entries_of(path):
        try:
            names.add(project_name(str(entry["name"])))
        except BadInput:
            continue
    return sorted(names)
