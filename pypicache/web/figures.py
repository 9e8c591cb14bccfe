"""The figures of ``GET /+status`` as values that a page or a terminal can show, and the words for them. Pure.

Reading is forgiving: the terminal may talk to an older or a newer daemon, so what is missing or of another type becomes
nothing, ``0`` or ``None``, and never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
NOTHING_YET = "no requests yet"


def _scaled(count: float) -> tuple[str, str]:
    """A number of bytes as number and unit, three digits at most before the unit changes."""
    value = max(0.0, float(count))
    for unit in UNITS:
        shown = f"{value:.0f}" if unit == "B" or value >= 99.95 else f"{value:.1f}".removesuffix(".0")
        if float(shown) < 1024 or unit == UNITS[-1]:
            return shown, unit
        value /= 1024
    raise AssertionError("the last unit takes everything")


def in_bytes(count: float) -> str:
    """A number of bytes for people: ``1.4 GiB``."""
    return " ".join(_scaled(count))


def of_bytes(part: float, whole: float | None) -> str:
    """How much of a body is there: ``2.3 of 5.1 MiB``, ``900 KiB of 5.1 MiB``; without a known size ``2.3 MiB``."""
    if whole is None:
        return in_bytes(part)
    (number, unit), (total, total_unit) = _scaled(part), _scaled(whole)
    return f"{number} of {total} {unit}" if unit == total_unit else f"{number} {unit} of {total} {total_unit}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units: ``2 h 5 min``. Parts of a second are dropped."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    raise AssertionError("a minute is the smallest size of the loop")


def milliseconds(seconds: float) -> str:
    """A short span of time: ``1.3 ms``, ``250 ms``."""
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 9.95 else f"{value:.1f} ms"


def percentage(share: float, digits: int = 1) -> str:
    """A share between 0 and 1: ``98.2 %``. Rounded down, so that ``100 %`` means all of it."""
    scale = 10**digits
    # The small addend undoes the binary error of shares such as 0.29, which would be shown as 28.9 %.
    tenths = math.floor(min(1.0, max(0.0, share)) * 100 * scale + 1e-7)
    text = f"{tenths / scale:.{digits}f}"
    return f"{text.removesuffix('.0')} %"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: ``1 file``, ``1,234 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


@frozen(kw_only=True)
class Hits:
    """Requests of one kind, answered from the cache or not."""

    hits: int
    misses: int

    @property
    def total(self) -> int:
        """All requests of this kind."""
        return self.hits + self.misses

    @property
    def rate(self) -> str:
        """The share that the cache answered, in words; before the first request there is none."""
        return percentage(self.hits / self.total) if self.total else NOTHING_YET


@frozen(kw_only=True)
class Turns:
    """How long the reactor was busy with one thing after the other, in seconds; nobody is answered meanwhile."""

    worst: float
    p99: float  # 99 of 100 took no longer

    @property
    def words(self) -> str:
        """Both figures: ``worst 12 ms, 99 % within 1.3 ms``."""
        return f"worst {milliseconds(self.worst)}, 99 % within {milliseconds(self.p99)}"


@frozen(kw_only=True)
class ReadyPages:
    """Pages in memory that only have to be sent."""

    size: int  # bytes
    most: int | None  # bytes
    pages: int
    used: Hits

    @property
    def words(self) -> str:
        """How many, and how much of the room they take."""
        return f"{counted(self.pages, 'page')}, {of_bytes(self.size, self.most)}"


@frozen(kw_only=True)
class Download:
    """One file on its way from an upstream."""

    index: str
    file: str
    received: int  # bytes
    size: int | None  # bytes
    seconds: float  # since it began
    clients: int  # who read along

    @property
    def share(self) -> float | None:
        """How much of it is there, between 0 and 1; ``None`` if nobody knows the size."""
        return min(1.0, self.received / self.size) if self.size else None

    @property
    def amount(self) -> str:
        """Bytes received, and the size where it is known."""
        return of_bytes(self.received, self.size or None)

    @property
    def speed(self) -> str | None:
        """The mean speed, once there is one."""
        return f"{in_bytes(self.received / self.seconds)}/s" if self.seconds > 0 and self.received else None


@frozen(kw_only=True)
class Upstream:
    """One host that is asked for pages and files, and whether it answers."""

    host: str
    state: str  # closed, open, half-open, offline: the circuit breaker's words
    failures: int
    retry_in: float | None  # seconds
    last_error: str | None

    @property
    def words(self) -> str:
        """The state as a person says it."""
        failed = f" ({counted(self.failures, 'failure')})" if self.failures else ""
        if self.state == "closed":
            return "works" + failed
        if self.state == "open":
            return f"does not answer{failed}, {self.again}"
        if self.state == "half-open":
            return f"is being tried again{failed}"
        if self.state == "offline":
            return "is not asked, because pypicache runs offline"
        return self.state or "unknown"

    @property
    def again(self) -> str:
        """When the next request goes to it."""
        return (
            "will be tried again soon" if self.retry_in is None else f"next try in {duration(math.ceil(self.retry_in))}"
        )


@frozen(kw_only=True)
class Index:
    """One index that clients can install from."""

    name: str  # user/index
    type: str
    title: str | None
    mirror_url: str | None  # credentials are masked already
    projects: int | None


@frozen(kw_only=True)
class Status:
    """All that is shown of a daemon."""

    version: str
    uptime: float  # seconds
    offline: bool
    processes: str  # how many answer, and what the workers among them did
    outside_url: str | None
    serial: int
    size: int  # bytes kept
    files: int
    max_size: int | None  # bytes; None: no limit
    full_disk: bool
    evicted_files: int
    evicted_bytes: int
    pages: Hits
    downloaded: Hits  # files
    bytes_from_cache: int
    bytes_from_upstream: int
    ready: ReadyPages
    turns: Turns  # since the start
    recent_turns: Turns  # of the last five minutes
    downloads: tuple[Download, ...]
    upstreams: tuple[Upstream, ...]
    indexes: tuple[Index, ...]

    @classmethod
    def read(cls, result: Mapping[str, object]) -> Status:
        """The ``result`` object of ``GET /+status``."""
        cache, traffic = _part(result, "cache"), _part(result, "traffic")
        return cls(
            version=_text(result, "version") or "",
            uptime=_number(result, "uptime") or 0.0,
            offline=result.get("offline") is True,
            processes=_processes(_rows(result, "workers")),
            outside_url=_text(result, "outside-url"),
            serial=_count(result, "serial"),
            size=_count(cache, "size"),
            files=_count(cache, "files"),
            max_size=_some_count(cache, "max_size"),
            full_disk=cache.get("full_disk") is True,
            evicted_files=_count(cache, "evicted_files"),
            evicted_bytes=_count(cache, "evicted_bytes"),
            pages=Hits(hits=_count(traffic, "page_hits"), misses=_count(traffic, "page_misses")),
            downloaded=Hits(hits=_count(traffic, "file_hits"), misses=_count(traffic, "file_misses")),
            bytes_from_cache=_count(traffic, "bytes_from_cache"),
            bytes_from_upstream=_count(traffic, "bytes_from_upstream"),
            ready=_ready_pages(_part(result, "ready_pages")),
            turns=_turns(_part(_part(result, "reactor"), "start")),
            recent_turns=_turns(_part(_part(result, "reactor"), "recent")),
            downloads=tuple(map(_download, _rows(result, "downloads"))),
            upstreams=tuple(map(_upstream, _rows(result, "upstreams"))),
            indexes=tuple(map(_index, _rows(result, "indexes"))),
        )

    @property
    def volume(self) -> Hits:
        """The bytes sent, in the same terms as the requests."""
        return Hits(hits=self.bytes_from_cache, misses=self.bytes_from_upstream)

    @property
    def fill(self) -> str:
        """How full the cache is."""
        if self.max_size is None:
            return f"{in_bytes(self.size)}, no limit"
        full = f" ({percentage(self.size / self.max_size, 0)})" if self.max_size else ""
        return f"{of_bytes(self.size, self.max_size)}{full}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before anything else, the worst first; a sentence or two each."""
        found = []
        if self.full_disk:
            found.append(
                "The disk is full. Files that are cached are still served; new ones are not kept until there is room."
            )
        if self.offline:
            found.append("Offline mode: no upstream is asked. Only what is cached can be installed.")
        found.extend(
            f"{upstream.host} {upstream.words}. What is cached is still served."
            for upstream in self.upstreams
            if upstream.state == "open"
        )
        return tuple(found)


def _processes(workers: Sequence[Mapping[str, object]]) -> str:
    if not workers:
        return "1"
    answered = sum(_count(worker, "requests") for worker in workers)
    starting = sum(worker.get("state") == "starting" for worker in workers)
    waiting = f" ({starting} starting)" if starting else ""
    return f"{1 + len(workers)}{waiting}; workers answered {counted(answered, 'request')}"


def _turns(of: Mapping[str, object]) -> Turns:
    return Turns(worst=_number(of, "worst") or 0.0, p99=_number(of, "p99") or 0.0)


def _ready_pages(of: Mapping[str, object]) -> ReadyPages:
    used = Hits(hits=_count(of, "hits"), misses=_count(of, "misses"))
    return ReadyPages(
        size=_count(of, "bytes"), most=_some_count(of, "most_bytes"), pages=_count(of, "pages"), used=used
    )


def _download(row: Mapping[str, object]) -> Download:
    return Download(
        index=_text(row, "index") or "",
        file=_text(row, "file") or "(no name)",
        received=_count(row, "received"),
        size=_some_count(row, "size"),
        seconds=_number(row, "seconds") or 0.0,
        clients=_count(row, "clients"),
    )


def _upstream(row: Mapping[str, object]) -> Upstream:
    return Upstream(
        host=_text(row, "host") or "(no name)",
        state=_text(row, "state") or "",
        failures=_count(row, "failures"),
        retry_in=_number(row, "retry_in"),
        last_error=_text(row, "last_error"),
    )


def _index(row: Mapping[str, object]) -> Index:
    return Index(
        name=_text(row, "name") or "(no name)",
        type=_text(row, "type") or "",
        title=_text(row, "title"),
        mirror_url=_text(row, "mirror_url"),
        projects=_some_count(row, "projects"),
    )


def _part(of: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}


def _rows(of: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = of.get(key)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _number(of: Mapping[str, object], key: str) -> float | None:
    value = of.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond every float
        return None
    return max(0.0, number) if math.isfinite(number) else None


def _some_count(of: Mapping[str, object], key: str) -> int | None:
    value = _number(of, key)
    return None if value is None else int(value)


def _count(of: Mapping[str, object], key: str) -> int:
    return _some_count(of, key) or 0


def _text(of: Mapping[str, object], key: str) -> str | None:
    value = of.get(key)
    return value if isinstance(value, str) and value else None
