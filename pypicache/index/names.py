"""The list of all projects of an upstream: fetched when somebody asks for it, and then on disk, never in memory."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

import orjson
from attrs import asdict, evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypicache.core.errors import BadInput, Broken, NotFound, UpstreamDown
from pypicache.core.project_list import read_names, write_html, write_json
from pypicache.core.spec import MirrorSpec
from pypicache.memory import Memory
from pypicache.tasks import InThread, Once, Shared, Tasks, TimedOut, within
from pypicache.upstream.client import PAGE_TYPES, Upstream

MOST = 2 * 2**30  # bytes of an upstream's list after decoding; more is nonsense
WHOLE_LIST = 600.0  # seconds
CLIENT_WAIT = 12.0  # seconds a client waits for a list that was never fetched; installers give up after 15


class ListFormat(Enum):
    """A file of the list on disk."""

    JSON = "names.json"
    HTML = "names.html"


@frozen(kw_only=True)
class ListState:
    """What is known of the list on disk; lies beside it as JSON."""

    source: str  # mirror_url without credentials
    digest: str  # of the JSON file, hex; the same list has the same
    etag: str | None  # of the upstream, as it came
    checked: float  # seconds since the epoch


@frozen(kw_only=True)
class ListFile:
    """One file to be sent."""

    path: Path
    etag: str  # without quotes
    checked: float | None  # seconds since the epoch; None: it was not confirmed by an upstream
    stale: bool


class Listing(Protocol):
    """The project list of one index."""

    async def file(self, format_: ListFormat, compressed: bool) -> ListFile:
        """The list in one representation.

        :raises UpstreamDown: nothing is known of it, and it cannot be had now.
        """


class ProjectList:
    """The project list of one mirror.

    It is only ever shown: whether a project exists is decided by asking for its page. Every representation is a file,
    written once per change, plain and compressed.
    """

    log = Logger()

    def __init__(
        self,
        spec: MirrorSpec,
        directory: Path,
        *,
        expiry: float,
        upstream: Upstream,
        memory: Memory,
        clock: IReactorTime,
        in_thread: InThread,
        tasks: Tasks,
    ) -> None:
        self._spec = spec
        self._directory = directory / spec.name
        self._expiry = expiry
        self._upstream = upstream
        self._memory = memory
        self._clock = clock
        self._in_thread = in_thread
        self._tasks = tasks
        self._fetching: Once[str, None] = Once()
        self._not_before = 0.0

    async def file(self, format_: ListFormat, compressed: bool) -> ListFile:
        if self._spec.no_project_list or self._upstream.offline:
            return await self._known_only(format_, compressed)
        state = self._state()
        now = self._clock.seconds()
        stale = False
        if state is None or (state.checked + self._expiry <= now and self._not_before <= now):
            try:
                await self._fetch().join(self._clock, CLIENT_WAIT if state is None else 5.0)
            except (UpstreamDown, NotFound, TimedOut) as error:
                if state is None:
                    if isinstance(error, UpstreamDown):
                        raise
                    raise UpstreamDown(
                        f"the project list of {self._spec.name} cannot be had: {error or 'it takes long'}"
                    ) from None
                stale = True
            state = self._state()
            if state is None:
                raise UpstreamDown(f"the project list of {self._spec.name} could not be stored")
        elif state.checked + self._expiry <= now:
            stale = True
        return self._file(format_, compressed, state.digest, None if stale else state.checked, stale)

    def _file(self, format_: ListFormat, compressed: bool, digest: str, checked: float | None, stale: bool) -> ListFile:
        path = self._directory / (format_.value + (".gz" if compressed else ""))
        etag = f"{digest[:32]}-{format_.name[0].lower()}{'g' if compressed else ''}"
        return ListFile(path=path, etag=etag, checked=checked, stale=stale)

    def _state(self) -> ListState | None:
        try:
            state = ListState(**orjson.loads((self._directory / "state.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return state if self._spec.url is not None and state.source == self._spec.url.base else None

    async def _known_only(self, format_: ListFormat, compressed: bool) -> ListFile:
        """Just the projects that were asked for so far, or of which files are held."""
        names = await self._memory.projects(self._spec.name)
        digest: str = await self._in_thread(self._write, [{"name": name} for name in names], None, "known")
        found = self._file(format_, compressed, digest, None, stale=False)
        return ListFile(
            path=found.path.with_name("known-" + found.path.name), etag=found.etag, checked=None, stale=False
        )

    # -- fetching --------------------------------------------------------------------------------------------------

    def _fetch(self) -> Shared[None]:
        fetching = self._fetching.start("list", self._receive)
        self._tasks.keep(fetching.task, f"fetching the project list of {self._spec.name}")
        return fetching

    async def _receive(self) -> None:
        try:
            await self._receive_to(self._directory / "upstream.part")
        except UpstreamDown as error:
            self._not_before = self._clock.seconds() + max(10.0, error.retry_after)
            self.log.warn("{index}: {why}", index=self._spec.name, why=str(error))
            raise

    async def _receive_to(self, spooled: Path) -> None:
        url = self._spec.url
        if url is None:
            raise NotFound(f"{self._spec.name} has no mirror_url")
        state = self._state()
        answer = await self._upstream.stream(
            url.base, url, accept=PAGE_TYPES, coding="gzip", etag=None if state is None else state.etag
        )
        if answer.status == 304 and state is not None:
            answer.abort()
            self._save(evolve(state, checked=self._clock.seconds()))
            return
        coded = (answer.header("content-encoding") or "").lower() in {"gzip", "x-gzip"}
        serial = answer.header("x-pypi-last-serial")
        try:
            part = _Part(spooled)
        except OSError as error:
            answer.abort()
            raise UpstreamDown(f"the project list of {self._spec.name} cannot be stored: {error}", 30) from error
        try:
            await within(self._clock, WHOLE_LIST, answer.pump(part.take))
            part.close()
            digest: str = await self._in_thread(
                self._convert, spooled, coded, answer.header("content-type") or "", answer.url or url.base,
                int(serial) if serial is not None and serial.isdigit() else None,
            )  # fmt: skip
        except (BadInput, Broken, TimedOut, EOFError, zlib.error, OSError) as error:
            raise UpstreamDown(f"{url.base}: the project list is not usable: {error or 'too slow'}", 30) from error
        finally:
            part.remove()
        self._save(ListState(source=url.base, digest=digest, etag=answer.header("etag"), checked=self._clock.seconds()))

    def _save(self, state: ListState) -> None:
        part = self._directory / "state.part"
        part.write_bytes(orjson.dumps(asdict(state)))
        part.replace(self._directory / "state.json")

    # -- converting, in a thread -----------------------------------------------------------------------------------

    def _convert(self, spooled: Path, coded: bool, content_type: str, base_url: str, serial: int | None) -> str:
        with spooled.open("rb") as raw:
            plain: BinaryIO = gzip.GzipFile(fileobj=raw) if coded else raw  # type: ignore[assignment]  # it reads binary
            bounded = io.BufferedReader(_Bounded(plain, MOST))
            return self._write(read_names(bounded, content_type, base_url), serial, "")

    def _write(self, names: Iterable[Mapping[str, object]], serial: int | None, mark: str) -> str:
        return write_files(self._directory, names, serial, mark)


def write_files(directory: Path, names: Iterable[Mapping[str, object]], serial: int | None, mark: str) -> str:
    """Write all representations of a list; the JSON one first, the others are made from it. Blocks.

    :return: the digest of the JSON file, hex.
    """
    directory.mkdir(parents=True, exist_ok=True)
    prefix = f"{mark}-" if mark else ""
    json_path = directory / (prefix + ListFormat.JSON.value)
    html_path = directory / (prefix + ListFormat.HTML.value)
    part = json_path.with_suffix(".part")
    with part.open("wb") as out:
        write_json(names, out, serial)
    digest = _digest(part)
    part.replace(json_path)
    part = html_path.with_suffix(".part")
    with part.open("wb") as out:
        write_html(entries_of(json_path), out)
    part.replace(html_path)
    for path in (json_path, html_path):
        _compress(path)
    return digest


def entries_of(path: Path) -> Iterator[Mapping[str, object]]:
    """The entries of a JSON file that we wrote: each has a line of its own. Blocks."""
    with path.open("rb") as stream:
        next(stream, None)  # the beginning of the object
        for line in stream:
            if line.startswith(b"{"):
                yield orjson.loads(line.rstrip(b",\n"))


class _Part:
    """The upstream's list as it arrives, on disk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._out = path.open("wb")
        self._size = 0

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST:
            raise BadInput(f"it is larger than {MOST} bytes")
        self._out.write(data)

    def close(self) -> None:
        self._out.close()

    def remove(self) -> None:
        with suppress(OSError):
            self._out.close()
        self._path.unlink(missing_ok=True)


class _Bounded(io.RawIOBase):
    """Reads a stream up to a size, beyond which it is nonsense."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream = stream
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # all that callers give
        piece = self._stream.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise BadInput("the project list does not end")
        buffer[: len(piece)] = piece
        return len(piece)


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _compress(path: Path) -> None:
    part = path.with_name(path.name + ".gz.part")
    with path.open("rb") as stream, gzip.GzipFile(part, "wb", compresslevel=5, mtime=0) as out:
        while piece := stream.read(2**20):
            out.write(piece)
    part.replace(path.with_name(path.name + ".gz"))
