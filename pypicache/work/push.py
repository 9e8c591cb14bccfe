"""Pushing a release to another index of this server (contract devpi 13.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime

from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseSaved
from pypicache.core.dist import is_wheel, version_key, version_of, wheel_metadata
from pypicache.core.errors import BadInput, Broken, Conflict, NotFound, UpstreamDown
from pypicache.core.model import File, ProjectName, project_name
from pypicache.index.catalog import Index
from pypicache.index.mirror import Mirror
from pypicache.ledger.ledger import Decision, Ledger, project_files, project_releases
from pypicache.store.library import Library
from pypicache.store.local import Kept
from pypicache.tasks import InThread

RELEASE, DOCS, TOXRESULT = "releasefile", "doczip", "toxresult"
SIDE_FILES = (".metadata", ".provenance")  # what may lie beside a release file

Action = list[object]
"""One line of the answer: a status code, what was done, and to what (contract devpi 13)."""


@frozen(kw_only=True)
class Wanted:
    """What is to be pushed."""

    name: str  # as it was asked for
    version: str
    docs: bool = True
    releases: bool = True

    @property
    def project(self) -> ProjectName:
        """The name, normalised."""
        return project_name(self.name)

    def admits(self, kind: str) -> bool:
        """Whether files of this kind are to be pushed."""
        return self.docs if kind == DOCS else self.releases


@frozen(kw_only=True)
class Parcel:
    """A release as it is on its index: the metadata, and the files of the kinds that are wanted."""

    index: str
    metadata: Mapping[str, Any]
    files: Sequence[FileSaved]
    beside: Mapping[str, bytes] = field(factory=dict)  # path -> core metadata that we took out of a mirror's wheel

    def of(self, kind: str) -> list[FileSaved]:
        """The files of one kind, sorted by name."""
        return sorted((file for file in self.files if file.kind == kind), key=lambda file: file.name)

    def results_of(self, path: str) -> list[FileSaved]:
        """The tox results of a release file."""
        return sorted((file for file in self.of(TOXRESULT) if file.of == path), key=lambda file: file.path)


def pack(connection: Any, index: str, wanted: Wanted) -> Parcel:
    """What a stage has of a release.

    :raises BadInput: the version is not registered on this index.
    :raises NotFound: it has nothing of the wanted kinds.
    """
    registered = project_releases(connection, index, wanted.project)
    if wanted.version not in registered:
        raise BadInput(f"there are no files for {wanted.name} {wanted.version} on stage {index}")
    stored = project_files(connection, index, wanted.project)
    files = [file for file in stored if file.version == wanted.version and wanted.admits(file.kind)]
    metadata = {"name": wanted.name, "version": wanted.version} | registered[wanted.version]
    return _checked(Parcel(index=index, metadata=metadata, files=files), wanted)


def _checked(parcel: Parcel, wanted: Wanted) -> Parcel:
    if all(file.kind == TOXRESULT for file in parcel.files):
        raise NotFound(f"no release/files found for {wanted.name} {wanted.version}")
    return parcel


class Push:
    """Copies releases from one index to another: a second name for the same bytes, and what is said about them.

    ::

        stage --> pack ------------------------------> check, link, record: one transaction of the ledger
        mirror -> fetch what is not held, keep it open -^
    """

    def __init__(self, ledger: Ledger, library: Library, clock: IReactorTime, in_thread: InThread) -> None:
        self._ledger = ledger
        self._library = library
        self._clock = clock
        self._in_thread = in_thread

    async def look(self, source: Index, wanted: Wanted) -> Parcel:
        """What there is to be pushed; nothing is fetched.

        :raises BadInput: the version is not there.
        :raises NotFound: it has nothing of the wanted kinds.
        :raises UpstreamDown: nobody can tell.
        """
        if not isinstance(source, Mirror):
            return await self._ledger.read(lambda connection: pack(connection, source.name, wanted))
        listed = await self._listed(source, wanted)
        said = {"requires_python": listed[0].requires_python, "yanked": listed[0].yanked or None}
        metadata = {"name": wanted.name, "version": wanted.version} | {
            key: value for key, value in said.items() if value is not None
        }
        files = [self._mirrored(source, wanted, file) for file in listed if wanted.releases]
        return _checked(Parcel(index=source.name, metadata=metadata, files=files), wanted)

    async def to_index(
        self, source: Index, wanted: Wanted, target: str, volatile: bool, who: str | None
    ) -> list[Action]:
        """Push to an index of this server: all of it, or nothing.

        :param volatile: whether the target's files may be replaced.
        :param who: the user who does it.
        :raises BadInput: the version is not there.
        :raises NotFound: it has nothing of the wanted kinds.
        :raises Conflict: the target has such a file, and keeps what it has.
        :raises UpstreamDown: a file of a mirror cannot be had.
        """
        if not isinstance(source, Mirror):
            return await self._record(None, source.name, wanted, target, volatile, who)
        opened: list[Kept] = []
        try:
            parcel = await self._fetch(source, wanted, opened)
            return await self._record(parcel, source.name, wanted, target, volatile, who)
        finally:
            for kept in opened:
                self._library.shelf.close(kept)

    # -- from a mirror ---------------------------------------------------------------------------------------------

    async def _listed(self, mirror: Mirror, wanted: Wanted) -> list[File]:
        try:
            project = await mirror.project(wanted.project)
        except NotFound:
            listed = []
        else:
            key = version_key(wanted.version)
            spelled = [(version_of(file.name, project.name), file) for file in project.files]
            listed = [file for version, file in spelled if version is not None and version_key(version) == key]
        if not listed:
            raise BadInput(f"there are no files for {wanted.name} {wanted.version} on stage {mirror.name}")
        return listed

    def _mirrored(self, mirror: Mirror, wanted: Wanted, file: File) -> FileSaved:
        return FileSaved(
            index=mirror.name,
            project=wanted.project,
            version=wanted.version,
            kind=RELEASE,
            path=file.path,
            name=file.name,
            hashes=dict(file.hashes),
            size=file.size or 0,
            uploaded=_uploaded(file.upload_time) or _now(self._clock),
            requires_python=file.requires_python,
            yanked=file.yanked or False,
        )

    async def _fetch(self, mirror: Mirror, wanted: Wanted, opened: list[Kept]) -> Parcel:
        """Bring all files of a release onto the shelf, and keep them from being evicted."""
        parcel = await self.look(mirror, wanted)
        listed = {file.path: file for file in await self._listed(mirror, wanted)}
        files, beside = [], {}
        for saved in parcel.files:
            file = listed[saved.path]
            key = f"{mirror.name}/{saved.path}"
            await self._library.obtain(key, wanted.project, file, mirror.spec.url)
            kept = self._library.shelf.open(key)
            if kept is None:
                raise UpstreamDown(f"{saved.name} cannot be stored")
            opened.append(kept)
            digest, metadata = await self._in_thread(self._read, key, saved.name)
            if metadata is not None:
                beside[saved.path] = metadata
            hashes = {**saved.hashes, "sha256": digest}
            core_metadata = None if metadata is None else sha256(metadata).hexdigest()
            files.append(evolve(saved, hashes=hashes, size=kept.size, core_metadata=core_metadata))
        return evolve(parcel, files=files, beside=beside)

    def _read(self, key: str, name: str) -> tuple[str, bytes | None]:
        with self._library.shelf.path(key).open("rb") as stream:
            digest = sha256()
            while piece := stream.read(2**20):
                digest.update(piece)
            return digest.hexdigest(), wheel_metadata(stream) if is_wheel(name) else None

    # -- to a stage ------------------------------------------------------------------------------------------------

    async def _record(
        self, fetched: Parcel | None, source: str, wanted: Wanted, target: str, volatile: bool, who: str | None
    ) -> list[Action]:
        when = list(datetime.fromtimestamp(self._clock.seconds(), UTC).timetuple()[:6])
        item = {"what": "push", "who": who, "when": when, "src": source, "dst": target}

        def decide(connection: Any) -> Decision[list[Action]]:
            parcel = pack(connection, source, wanted) if fetched is None else fetched
            there = project_files(connection, target, wanted.project)
            name, version = str(parcel.metadata["name"]), wanted.version
            saved = ReleaseSaved(index=target, project=wanted.project, version=version, metadata=dict(parcel.metadata))
            copy = _Copy(library=self._library, parcel=parcel, there=there, target=target, volatile=volatile, item=item)
            copy.actions.append([200, "register", name, version, "->", target])
            copy.changes.append(saved)
            for file in parcel.of(RELEASE):
                release = copy.take(file)
                copy.actions.append([200, "store_releasefile", f"{target}/{release.path}"])
                for result in parcel.results_of(file.path):
                    stored = copy.take(result, of=release.path)
                    copy.actions.append([200, "store_toxresult", f"{target}/{stored.path}"])
            for file in parcel.of(DOCS):
                copy.take(file)
                copy.actions.append([200, "store_doczip", name, version, "->", target])
            copy.link()  # last, because what stands against it has been found by now
            return Decision(copy.changes, copy.actions)

        return await self._ledger.change(decide)


@frozen(kw_only=True)
class _Copy:
    """The copying of one parcel, within the transaction."""

    library: Library
    parcel: Parcel
    there: Sequence[FileSaved]  # what the target has of the project
    target: str
    volatile: bool
    item: Mapping[str, Any]  # of the log
    changes: list[Change] = field(factory=list)
    actions: list[Action] = field(factory=list)
    links: list[tuple[str, str]] = field(factory=list)  # path at the source -> path at the target

    def take(self, file: FileSaved, of: str | None = None) -> FileSaved:
        """Note a file to be copied; the answer is what the target will have."""
        log = [item for item in file.log if item.get("what") != "overwrite"]
        digest = file.hashes["sha256"]
        directory = f"+f/{digest[:3]}/{digest[3:16]}" if of is None else of.rpartition("/")[0]
        path = f"{directory}/{file.name}"
        if file.kind != TOXRESULT:
            log = [*self._replace(file, path), *log]
        new = evolve(file, index=self.target, path=path, log=[*log, dict(self.item)], of=of)
        self.changes.append(new)
        self.links.append((file.path, path))
        return new

    def _replace(self, file: FileSaved, path: str) -> list[Mapping[str, Any]]:
        """Let a file of the same name make way."""
        same = [old for old in self.there if old.kind == file.kind and old.name == file.name]
        if not same:
            return []
        if not self.volatile:
            raise Conflict(f"{file.name} already exists in non-volatile index")
        count = 0
        for old in same:
            count += 1 + sum(int(item.get("count", 1)) for item in old.log if item.get("what") == "overwrite")
            if old.path == path:
                continue
            results = [result.path for result in self.there if result.kind == TOXRESULT and result.of == old.path]
            self.changes.extend(FileGone(index=self.target, path=gone) for gone in [old.path, *results])
        return [{"what": "overwrite", "who": None, "when": self.item["when"], "count": count}]

    def link(self) -> None:
        """Give the bytes their second names. Blocks.

        :raises Broken: the bytes are not there, or the disk takes no more names.
        """
        shelf = self.library.shelf
        for have, path in self.links:
            if not shelf.link(f"{self.parcel.index}/{have}", f"{self.target}/{path}"):
                raise Broken(f"{self.parcel.index}/{have} is not on the shelf, or cannot be linked")
            made = self.parcel.beside.get(have)
            if made is not None:
                shelf.write(f"{self.target}/{path}.metadata", made)
                continue
            for suffix in SIDE_FILES:
                if shelf.holds(f"{self.parcel.index}/{have}{suffix}"):
                    shelf.link(f"{self.parcel.index}/{have}{suffix}", f"{self.target}/{path}{suffix}")


def _uploaded(text: str | None) -> str | None:
    """A time of an upstream as the ledger has times; ``None`` if it is none."""
    try:
        when = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if when is None or when.tzinfo is None else _written(when)


def _now(clock: IReactorTime) -> str:
    return _written(datetime.fromtimestamp(clock.seconds(), UTC))


def _written(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
