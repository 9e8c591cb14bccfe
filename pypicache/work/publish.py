"""What uploaders do: register releases, and add files to them (contract devpi 12)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pypicache.core.attestations import provenance
from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseSaved, stamp
from pypicache.core.dist import is_wheel
from pypicache.core.errors import BadInput, Conflict, NotFound
from pypicache.core.form import Form
from pypicache.core.metadata import Release, combined
from pypicache.core.model import ProjectName
from pypicache.core.stage import StageSpec
from pypicache.ledger.database import Connection
from pypicache.ledger.ledger import (
    Decision,
    Ledger,
    file_at,
    files_named,
    project_releases,
    release_metadata,
)
from pypicache.store.incoming import Incoming
from pypicache.store.own import Arrival, OwnFiles
from pypicache.tasks import InThread, Shared
from pypicache.together import Together
from pypicache.work.checking import (
    check_archive,
    check_attestations,
    check_digests,
    check_file,
    check_project,
    check_release,
)
from pypicache.work.documents import check_zip, newest

RELEASE, DOCS, TOX = "releasefile", "doczip", "toxresult"


@frozen(kw_only=True)
class Stored:
    """What became of an upload."""

    sentence: str = ""
    new: bool = True  # False: the same was there already, and nothing was changed


class Publisher:
    """Checks uploads, stores them and records them."""

    def __init__(self, ledger: Ledger, files: OwnFiles, clock: IReactorTime, in_thread: InThread) -> None:
        self.files = files
        self._ledger = ledger
        self._clock = clock
        self._in_thread = in_thread
        self._look_into = Together(in_thread)  # small wheels: what is read of them is little as well

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self._clock.seconds(), UTC)

    async def submit(self, spec: StageSpec, form: Form) -> None:
        """Register a release, or replace all that is known of it.

        :raises BadInput: the form is not complete.
        """
        project, version = check_release(form)
        metadata = combined(None, form.release(), None)
        saved = ReleaseSaved(index=spec.name, project=project, version=version, metadata=metadata)

        def decide(connection: Any) -> Decision[None]:
            known = release_metadata(connection, spec.name, project, version)
            return Decision([] if known == saved.metadata else [saved], None)

        await self._ledger.change(decide)

    async def file(self, spec: StageSpec, user: str | None, form: Form, incoming: Incoming) -> Stored:
        """Add a distribution file.

        :raises BadInput: it is not what the form says, or no distribution file.
        :raises Conflict: the index is not volatile, and has another file of this name.
        :raises NoRoom: the disk does not take it.
        """
        return await self._to_the_end(self._file(spec, user, form, incoming), incoming)

    async def _file(self, spec: StageSpec, user: str | None, form: Form, incoming: Incoming) -> Stored:
        now = self.now()

        def prepare() -> Parcel:
            upload = check_file(form, incoming.name)
            digests = incoming.digests
            check_digests(form, digests)
            with incoming.open() as stream:
                metadata, text = check_archive(upload, stream)
            attestations = check_attestations(upload, digests["sha256"])
            requires = form.text("requires_python") if metadata is None else metadata.requires_python
            saved = evolve(
                _saved(spec, upload.project, upload.version, RELEASE, upload.name, incoming, user, now),
                requires_python=requires or None,
                core_metadata=None if text is None else sha256(text).hexdigest(),
                attested=bool(attestations),
            )
            beside = {".metadata": text} if text is not None else {}
            if attestations:
                beside[".provenance"] = provenance(attestations, spec.name, user)
            archive = None if metadata is None else metadata.release
            arrival = Arrival(incoming, f"{spec.name}/{saved.path}", now.timestamp() // 1, beside)
            return Parcel(spec, saved, form.release(), archive, arrival)

        return await self._record(prepare, incoming)

    async def docs(self, spec: StageSpec, user: str | None, form: Form, incoming: Incoming) -> Stored:
        """Add the documentation of a release, a ZIP archive; there is at most one per release.

        :raises BadInput: it is no ZIP archive, or the form does not say of what.
        :raises Conflict: the index is not volatile, and has other documentation.
        """
        return await self._to_the_end(self._docs(spec, user, form, incoming), incoming)

    async def _docs(self, spec: StageSpec, user: str | None, form: Form, incoming: Incoming) -> Stored:
        form = await self._with_version(spec, form)
        now = self.now()

        def prepare() -> Parcel:
            project, version = check_release(form)
            check_digests(form, incoming.digests)
            check_zip(incoming.open())
            saved = _saved(spec, project, version, DOCS, f"{project}-{version}.doc.zip", incoming, user, now)
            arrival = Arrival(incoming, f"{spec.name}/{saved.path}", now.timestamp() // 1, {})
            return Parcel(spec, saved, form.release(), None, arrival)

        return await self._record(prepare, incoming)

    async def _with_version(self, spec: StageSpec, form: Form) -> Form:
        if form.has("version"):
            return form
        project = check_project(form)
        releases = await self._ledger.read(lambda connection: project_releases(connection, spec.name, project))
        if not releases:
            raise BadInput(f"doczip has no version and {form.text('name')!r} has no releases to derive one from")
        return Form({**form.fields, "version": (newest(releases),)})

    async def tox_result(self, spec: StageSpec, path: str, content: bytes) -> tuple[str, str]:
        """Add a result of testing a release file (contract devpi 11.4).

        :param path: of the release file, below the index.
        :return: the path of the result, and its sha256.
        :raises NotFound: there is no such release file.
        """
        key = f"{spec.name}/{path}"

        async def store() -> tuple[str, str]:
            found = await self._ledger.read(lambda connection: file_at(connection, spec.name, path))
            if found is None or found.kind != RELEASE:
                raise NotFound(f"no release file found at {path}")
            stored = await self._ledger.read(lambda c: files_named(c, spec.name, found.project, found.name))
            number = _next_number([file.path for file in stored if file.kind == TOX and file.of == path])
            now = self.now()
            place = f"{path}.toxresult-{now:%Y%m%d%H%M%S}-{number}"
            digest = sha256(content).hexdigest()
            saved = FileSaved(
                index=spec.name, project=found.project, version=found.version, kind=TOX, path=place,
                name=place.rpartition("/")[2], hashes={"sha256": digest}, size=len(content), uploaded=stamp(now),
                log=[{"what": "upload", "who": None, "when": when(now), "dst": spec.name}], of=path,
            )  # fmt: skip
            await self.files.put(content, f"{spec.name}/{place}")

            def decide(connection: Any) -> Decision[None]:
                if file_at(connection, spec.name, path) is None:
                    raise NotFound(f"no release file found at {path}")
                return Decision([saved], None)

            try:
                await self._ledger.change(decide)
            except NotFound:
                await self.files.remove(f"{spec.name}/{place}")
                raise
            return place, digest

        return await self.files.alone(key, store)

    # -- the common parts ------------------------------------------------------------------------------------------

    async def _to_the_end(self, work: Coroutine[Deferred[Any], Any, Stored], incoming: Incoming) -> Stored:
        # A client that leaves when everything has been sent, for want of patience, finds it stored when it comes again.
        async def whole() -> Stored:
            try:
                return await work
            finally:
                incoming.discard()

        return await Shared(whole()).join()

    async def _record(self, prepare: Callable[[], Parcel], incoming: Incoming) -> Stored:
        """Check an upload, keep it and record it: once for each content, whoever else uploads the same now."""
        if incoming.is_small and is_wheel(incoming.name):
            parcel: Parcel = await self._look_into(prepare)
        else:
            parcel = await self._in_thread(self._settled, prepare, incoming)
        return await self._ledger.change(partial(_decide, parcel))

    def _settled(self, prepare: Callable[[], Parcel], incoming: Incoming) -> Parcel:
        parcel = prepare()
        if not self._ledger.read_now(parcel.judge).identical:
            incoming.settle()
        return parcel


def _decide(parcel: Parcel, connection: Connection) -> Decision[Stored]:
    # The bytes are kept before the transaction commits: a crash between leaves a file that nothing refers to, never a
    # record of a file that is not there. Those of deleted files are removed in transactions, too, so that they cannot
    # be removed from under this one.
    found = parcel.judge(connection)
    if found.identical:
        return Decision([], parcel.same)
    saved = parcel.saved
    known = release_metadata(connection, saved.index, saved.project, saved.version)
    merged = combined(known, parcel.form, parcel.archive)
    changes: list[Change] = [FileGone(index=saved.index, path=file.path) for file in found.replaced]
    if merged != known:
        changes.append(ReleaseSaved(index=saved.index, project=saved.project, version=saved.version, metadata=merged))
    changes.append(evolve(saved, log=[*found.log, *saved.log]) if found.log else saved)
    return Decision(changes, Stored(), [parcel.arrival])


@frozen(kw_only=True)
class Verdict:
    """What is to be done with an upload."""

    identical: bool = False
    replaced: Sequence[FileSaved] = ()
    log: Sequence[Mapping[str, Any]] = ()  # what the new file's log begins with


def verdict(connection: Connection, saved: FileSaved, spec: StageSpec) -> Verdict:
    """Compare an upload with what is there.

    :raises Conflict: another file of this name is there, and the index keeps what it has.
    """
    stored = files_named(connection, saved.index, saved.project, saved.name)
    before = next((file for file in stored if file.kind == saved.kind and file.name == saved.name), None)
    if before is None:
        return Verdict()
    if before.hashes["sha256"] == saved.hashes["sha256"]:
        return Verdict(identical=True)
    if not spec.volatile:
        raise Conflict(
            f"File already exists: {saved.name} is in the non-volatile index {spec.name} with other bytes; "
            "raise the version, or delete the file first"
        )
    results = [file for file in stored if file.of == before.path]
    count = 1 + max((item["count"] for item in before.log if item.get("what") == "overwrite"), default=0)
    now = saved.log[0]["when"]
    return Verdict(replaced=[*results, before], log=[{"what": "overwrite", "who": None, "when": now, "count": count}])


@frozen
class Parcel:
    """An upload that was found good."""

    spec: StageSpec
    saved: FileSaved
    form: Release
    archive: Release | None
    arrival: Arrival

    @property
    def same(self) -> Stored:
        """What its uploader is told if it is there already."""
        kept = "volatile" if self.spec.volatile else "non volatile"
        return Stored(sentence=f"Upload of identical file to {kept} index.", new=False)

    def judge(self, connection: Connection) -> Verdict:
        """What is to be done with it.

        :raises Conflict: another file of this name is there, and the index keeps what it has.
        """
        return verdict(connection, self.saved, self.spec)


def _saved(
    spec: StageSpec, project: ProjectName, version: str, kind: str, name: str, incoming: Incoming, user: str | None,
    now: datetime,
) -> FileSaved:  # fmt: skip
    digest = incoming.digests["sha256"]
    return FileSaved(
        index=spec.name,
        project=project,
        version=version,
        kind=kind,
        path=f"+f/{digest[:3]}/{digest[3:16]}/{name}",
        name=name,
        hashes={"sha256": digest},
        size=incoming.size,
        uploaded=stamp(now),
        log=[{"what": "upload", "who": user, "when": when(now), "dst": spec.name}],
    )


def when(now: datetime) -> list[int]:
    """A time as the log of a file has it (contract devpi 8.3)."""
    return list(now.timetuple()[:6])


def _next_number(paths: Sequence[str]) -> int:
    # Counting them would give a number twice after one was deleted.
    numbers = [int(last) for path in paths if (last := path.rpartition("-")[2]).isdigit()]
    return max(numbers, default=-1) + 1
