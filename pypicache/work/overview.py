"""What the daemon can tell about itself: the content of ``+status`` (contract devpi 5, and our own figures)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import asdict, frozen
from twisted.internet.interfaces import IReactorTime

from pypicache import __version__
from pypicache.figures import Figures
from pypicache.index.catalog import Catalog, Index
from pypicache.index.mirror import Mirror
from pypicache.ledger.ledger import Ledger
from pypicache.memory import Memory
from pypicache.store.eviction import Evictor
from pypicache.store.library import Library
from pypicache.turns import Length, Turns
from pypicache.upstream.client import Upstream


@frozen(kw_only=True)
class Node:
    """Who this daemon is; does not change while it runs."""

    uuid: str  # 32 hex digits, kept in the state directory
    state: str  # the state directory
    host: str
    port: int
    outside_url: str | None
    started: float  # seconds since the epoch


class Overview:
    """Puts the figures of all parts together."""

    def __init__(
        self,
        node: Node,
        *,
        catalog: Catalog,
        library: Library,
        evictor: Evictor,
        upstream: Upstream,
        memory: Memory,
        ledger: Ledger,
        figures: Figures,
        clock: IReactorTime,
        turns: Turns,
        ready: Callable[[], Mapping[str, int]],
    ) -> None:
        self.node = node
        self._catalog = catalog
        self._library = library
        self._evictor = evictor
        self._upstream = upstream
        self._memory = memory
        self._ledger = ledger
        self._figures = figures
        self._clock = clock
        self._turns = turns
        self._ready = ready
        self.workers: Callable[[], Sequence[Mapping[str, object]]] = tuple  # replaced where there are some

    async def status(self) -> dict[str, object]:
        """The ``result`` of ``+status``."""
        now = self._clock.seconds()
        node = self.node
        return {
            "serverdir": node.state,
            "uuid": node.uuid,
            "versioninfo": {"pypicache": __version__},
            "server-code": "pypicache",
            "host": node.host,
            "port": node.port,
            "outside-url": node.outside_url,
            "serial": self._ledger.serial,
            "last-commit-timestamp": node.started,
            "event-serial": self._ledger.serial,
            "event-serial-timestamp": node.started,
            "event-serial-in-sync-at": node.started,
            "role": "MASTER",
            "polling_replicas": {},
            "metrics": self._metrics(),
            "version": __version__,
            "uptime": round(now - node.started, 3),
            "offline": self._upstream.offline,
            "workers": list(self.workers()),
            "cache": {
                "size": self._evictor.size,
                "files": self._evictor.files,
                "max_size": self._evictor.max_size,
                "full_disk": self._library.disk_full,
                "evicted_files": self._figures.evicted_files,
                "evicted_bytes": self._figures.evicted_bytes,
            },
            "traffic": {
                name: count for name, count in asdict(self._figures).items() if not name.startswith("evicted_")
            },
            "ready_pages": dict(self._ready()),
            "reactor": {"start": _turns(self._turns.since_start()), "recent": _turns(self._turns.recent())},
            "downloads": self._downloads(now),
            "upstreams": self._upstreams(now),
            "indexes": [await self._index(index) for index in self._catalog],
        }

    def _metrics(self) -> list[tuple[str, str, float]]:
        counters = [(f"pypicache_{name}", "counter", count) for name, count in asdict(self._figures).items()]
        gauges = [
            ("pypicache_cache_size_bytes", "gauge", self._evictor.size),
            ("pypicache_cache_files", "gauge", self._evictor.files),
            ("pypicache_downloads", "gauge", len(self._library.downloads)),
        ]
        return counters + gauges

    def _downloads(self, now: float) -> list[Mapping[str, object]]:
        return [
            {
                "index": "/".join(download.key.split("/", 2)[:2]),
                "file": download.file.name,
                "received": download.arrived,
                "size": download.size if download.size is not None else download.file.size,
                "seconds": round(now - download.began, 3),
                "clients": download.readers,
            }
            for download in self._library.downloads.values()
        ]

    def _upstreams(self, now: float) -> list[Mapping[str, object]]:
        return [
            {
                "host": breaker.host,
                "state": breaker.state(now),
                "failures": breaker.failures,
                "retry_in": breaker.retry_in(now),
                "last_error": breaker.last_error,
            }
            for breaker in self._upstream.breakers.values()
        ]

    async def _index(self, index: Index) -> Mapping[str, object]:
        options = index.spec.shown()
        return {
            "name": index.name,
            "type": options["type"],
            "title": options.get("title", ""),
            "mirror_url": options.get("mirror_url"),
            "projects": await self._memory.count_projects(index.name) if isinstance(index, Mirror) else None,
        }


def _turns(length: Length) -> Mapping[str, float]:
    return {"worst": round(length.worst, 6), "p99": round(length.p99, 6), "turns": length.turns}
