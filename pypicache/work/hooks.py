"""Telling others what happened in an index: webhooks, and build triggers (``webhook_url``, ``uploadtrigger_jenkins``).

::

    commit, with a note in the outbox --> POST --> 2xx: out of the outbox; the next one of the queue
                                           ^   --> else: after a pause the same again
                                           +---- when it is a day old it is given up, and logged

Nobody waits for it: it begins after the commit. What was not told when the daemon ends, however it ends, is told after
the next start. So something may be told twice; then it has the same ``X-Pypicache-Delivery``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from attrs import frozen
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypicache.core.changes import Change, FileGone, FileSaved, ReleaseGone, ReleaseSaved
from pypicache.core.errors import BadInput, PypicacheError
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Decision, Ledger, Recorded
from pypicache.ledger.outbox import TRIGGER, WEBHOOK, Letter, Queue, first, queues_of, take_out, waiting
from pypicache.ledger.state import State
from pypicache.tasks import Tasks, pause
from pypicache.upstream.forms import bytes_body
from pypicache.upstream.outside import Outside

PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0)  # seconds before each further try; the last one again and again
MOST_AGE = 86_400.0  # seconds since the change after which there is no further try
ANSWER_WAIT = 60.0  # seconds until the head of an answer
AT_ONCE = 16  # requests under way
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
    """Follows the ledger, and delivers what is in its outbox."""

    log = Logger()

    def __init__(self, ledger: Ledger, state: State, outside: Outside, clock: IReactorTime, tasks: Tasks) -> None:
        self._ledger = ledger
        self._state = state
        self._outside = outside
        self._clock = clock
        self._tasks = tasks
        self._delivering: dict[Queue, bool] = {}  # -> whether something came since it was looked for
        self._places = DeferredSemaphore(AT_ONCE)
        ledger.listeners.append(self.follow)

    def start(self) -> None:
        """Go on where the daemon ended."""
        self._tasks.start(self._resume(), "looking for what webhooks were not told")

    async def _resume(self) -> None:
        for queue in await self._ledger.read(waiting):
            self._wake(queue)

    def follow(self, recorded: Recorded) -> None:
        """Begin to tell who wants to know."""
        changed: dict[str, list[Change]] = {}
        for change in recorded.changes:
            if isinstance(change, FileSaved | FileGone | ReleaseSaved | ReleaseGone):
                changed.setdefault(change.index, []).append(change)
        for index, changes in changed.items():
            spec = self._state.specs.get(index)
            if isinstance(spec, StageSpec):
                for queue in queues_of(index, spec.options, changes):
                    self._wake(queue)

    def _wake(self, queue: Queue) -> None:
        if queue in self._delivering:
            self._delivering[queue] = True
            return
        self._delivering[queue] = False
        self._tasks.start(self._deliver(queue), f"telling of {queue.index}")

    async def _deliver(self, queue: Queue) -> None:
        """Send what is in a queue, in order."""
        serial, tries = 0, 0
        try:
            while True:
                letter = await self._ledger.read(partial(first, queue=queue))
                if letter is None:
                    if not self._delivering[queue]:
                        return
                    self._delivering[queue] = False
                    continue
                if letter.serial != serial:
                    serial, tries = letter.serial, 0
                wait = await self._tell(queue, letter, tries)
                tries += 1
                if wait is None:
                    await self._ledger.change(partial(_told, queue, serial))
                else:
                    await pause(self._clock, wait)
        finally:
            del self._delivering[queue]

    async def _tell(self, queue: Queue, letter: Letter, tries: int) -> float | None:
        """Send a letter once.

        :return: seconds after which it is to be sent again; ``None``: it was told, or is given up.
        """
        spec = self._state.specs.get(queue.index)
        message = message_of(spec, queue, letter) if isinstance(spec, StageSpec) else None
        if message is None:
            return None
        url = shown(message.url)
        await self._places.acquire()
        try:
            code, _ = await self._outside.post(message.url, message.headers, bytes_body(message.body), ANSWER_WAIT)
        except BadInput as error:
            self.log.error("{name} is not told: {why}", name=message.name, why=str(error))
            return None
        except PypicacheError as error:
            why = str(error)
        else:
            if 200 <= code < 300:
                return None
            why = f"status {code}"
        finally:
            self._places.release()
        wait = PAUSES[min(tries, len(PAUSES) - 1)]
        if self._clock.seconds() + wait <= datetime.fromisoformat(letter.at).timestamp() + MOST_AGE:
            self.log.warn("{url} was not told of {name}: {why}", url=url, name=message.name, why=why)
            return wait
        self.log.error("{url} is not told of {name} any more: {why}", url=url, name=message.name, why=why)
        return None


def _told(queue: Queue, serial: int, connection: Any) -> Decision[None]:
    take_out(connection, queue, serial)
    return Decision((), None)


def shown(url: str) -> str:
    """An address as logs may have it: there may be a token in its query."""
    return url.partition("?")[0]


def message_of(spec: StageSpec, queue: Queue, letter: Letter) -> Message | None:
    """What is to be sent, by the options of now; ``None``: nobody wants to know any more."""
    url = spec.options.get(queue.hook)
    if not isinstance(url, str) or not url:
        return None
    name = f"{spec.name}/{letter.serial}"
    if queue.hook == WEBHOOK:
        told_of = {"index": spec.name, "serial": letter.serial, "changes": [*map(told, letter.changes)]}
        secret = spec.options.get("webhook_secret")
        return Message(
            url=url, name=name, content_type="application/json", body=orjson.dumps(told_of),
            secret=str(secret) if secret else None,
        )  # fmt: skip
    assert queue.hook == TRIGGER
    project, _, version = queue.about.partition("/")
    return Message(
        url=url.replace("{pkgname}", quote(project, safe="")).replace("{pkgversion}", quote(version, safe="")),
        name=f"{name}/{queue.about}",
        content_type="application/x-www-form-urlencoded",
        body=urlencode({"Submit": "Build", "name": f"{project}-{version}"}).encode("ascii"),
    )


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
