"""Telling others what happened in an index: webhooks, and build triggers (``webhook_url``, ``uploadtrigger_jenkins``).

::

    commit --> follow: one message per index --> queue of the address --> POST --> 2xx: the next one
                                                     ^                        --> else: after a pause the same again
                                                     +---- after the last pause it is given up, and logged

Nobody waits for it: it begins after the commit. What has not been delivered when the daemon ends is lost.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, urlencode

import orjson
from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypicache.core.addresses import web_address
from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseGone, ReleaseSaved
from pypicache.core.errors import PypicacheError
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Recorded
from pypicache.ledger.state import State
from pypicache.tasks import Tasks, pause
from pypicache.upstream.forms import bytes_body
from pypicache.upstream.outside import Outside

PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0)  # seconds before each further try
MOST_WAITING = 1_000  # messages for one address; what comes then is dropped, and logged
SIGNATURE, DELIVERY = "X-Pypicache-Signature", "X-Pypicache-Delivery"


@frozen(kw_only=True)
class Message:
    """One POST request."""

    url: str
    name: str  # of the delivery: the same whenever it is tried again
    content_type: str
    body: bytes
    secret: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers; with a secret there is a signature, HMAC-SHA256 of the body in hex, among them."""
        headers = {"Content-Type": self.content_type, DELIVERY: self.name}
        if self.secret:
            digest = hmac.new(self.secret.encode(), self.body, "sha256").hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        return headers


class Hooks:
    """Follows the ledger, and delivers."""

    log = Logger()

    def __init__(self, state: State, outside: Outside, clock: IReactorTime, tasks: Tasks) -> None:
        self._state = state
        self._outside = outside
        self._clock = clock
        self._tasks = tasks
        self._waiting: dict[tuple[str, str], deque[Message]] = {}  # index and address -> what is to be delivered

    def follow(self, recorded: Recorded) -> None:
        """Begin to tell who wants to know."""
        changed: dict[str, list[Change]] = {}
        for change in recorded.changes:
            if isinstance(change, FileSaved | FileGone | ReleaseSaved | ReleaseGone):
                changed.setdefault(change.index, []).append(change)
        for index, changes in changed.items():
            spec = self._state.specs.get(index)
            if isinstance(spec, StageSpec):
                for message in messages(spec, recorded.serial, changes):
                    self._queue(index, message)

    def _queue(self, index: str, message: Message) -> None:
        try:
            web_address("URL", message.url, self._outside.private)
        except PypicacheError as error:
            self.log.error("{index} is not told of: {why}", index=index, why=str(error))
            return
        waiting = self._waiting.get((index, message.url))
        if waiting is None:
            self._waiting[index, message.url] = deque([message])
            self._tasks.start(self._deliver(index, message.url), f"telling {shown(message.url)} of {index}")
        elif len(waiting) < MOST_WAITING:
            waiting.append(message)
        else:
            self.log.error("{url} is behind, and not told of {name}", url=shown(message.url), name=message.name)

    async def _deliver(self, index: str, url: str) -> None:
        """Send what waits, in order."""
        waiting = self._waiting[index, url]
        try:
            while waiting:
                await self._send(index, waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[index, url]

    async def _send(self, index: str, message: Message) -> None:
        for wait in (*PAUSES, None):
            why = await self._try(message)
            if why is None:
                return
            self.log.warn("{url} was not told of {name}: {why}", url=shown(message.url), name=message.name, why=why)
            if wait is not None:
                await pause(self._clock, wait)
                if not self._wanted(index, message.url):
                    return
        self.log.error("{url} is not told of {name} any more", url=shown(message.url), name=message.name)

    def _wanted(self, index: str, url: str) -> bool:
        """Whether the index still tells this address; those of build triggers differ, so any trigger counts."""
        spec = self._state.specs.get(index)
        if not isinstance(spec, StageSpec):
            return False
        return url == spec.options.get("webhook_url") or bool(spec.options.get("uploadtrigger_jenkins"))

    async def _try(self, message: Message) -> str | None:
        """Send a message once; the answer is what went wrong."""
        try:
            code, _ = await self._outside.post(message.url, message.headers, bytes_body(message.body))
        except PypicacheError as error:
            return str(error)
        return None if 200 <= code < 300 else f"status {code}"


def shown(url: str) -> str:
    """An address as logs may have it: there may be a token in its query."""
    return url.partition("?")[0]


def messages(spec: StageSpec, serial: int, changes: Sequence[Change]) -> list[Message]:
    """What is to be sent because of changes to an index."""
    found: list[Message] = []
    hook, trigger = spec.options.get("webhook_url"), spec.options.get("uploadtrigger_jenkins")
    name = f"{spec.name}/{serial}"
    if isinstance(hook, str) and hook:
        body = orjson.dumps({"index": spec.name, "serial": serial, "changes": [*map(told, changes)]})
        secret = spec.options.get("webhook_secret")
        found.append(
            Message(
                url=hook,
                name=name,
                content_type="application/json",
                body=body,
                secret=str(secret) if secret else None,
            )
        )
    if isinstance(trigger, str) and trigger:
        found += [
            Message(
                url=trigger.replace("{pkgname}", quote(project, safe="")).replace(
                    "{pkgversion}", quote(version, safe="")
                ),
                name=name,
                content_type="application/x-www-form-urlencoded",
                body=urlencode({"Submit": "Build", "name": f"{project}-{version}"}).encode("ascii"),
            )
            for project, version in uploaded(changes)
        ]
    return found


def uploaded(changes: Iterable[Change]) -> dict[tuple[str, str], None]:
    """The releases to which files came: project and version, each once."""
    return {
        (change.project, change.version): None
        for change in changes
        if isinstance(change, FileSaved) and change.kind == "releasefile"
    }


def told(change: Change) -> Mapping[str, object]:
    """A change as a webhook tells it."""
    match change:
        case FileSaved():
            return {
                "event": "file", "kind": change.kind, "project": change.project, "version": change.version,
                "name": change.name, "path": change.path, "sha256": change.hashes["sha256"], "size": change.size,
                "yanked": change.yanked, "log": list(change.log),
            }  # fmt: skip
        case FileGone():
            return {"event": "file-deleted", "name": change.path.rpartition("/")[2], "path": change.path}
        case ReleaseSaved():
            return {"event": "release", "project": change.project, "version": change.version}
        case ReleaseGone():
            return {"event": "release-deleted", "project": change.project, "version": change.version}
        case _:
            raise TypeError(f"{change!r} is nothing that happens in an index")
