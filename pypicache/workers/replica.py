"""What a worker has at hand: what the daemon offered, until it says that something changed."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pypicache.core.model import Project, ProjectName
from pypicache.store.local import Shelf
from pypicache.web.asked import Asked, FileAt, PageAt
from pypicache.web.offers import FileAtHand, IAtHand, PageAtHand, Ready

Question = tuple[str, ...]
"""``("page", index, project, prefix, format, coding)`` or ``("file", index, project, path)``."""

LIGHT = 500  # bytes that an entry without a body takes, about


@frozen
class _Page:
    project: Project
    ready: Ready
    until: float  # seconds since the epoch


@frozen
class _File:
    key: str
    etag: str
    modified: float
    cache_control: str
    until: float


def page_offer(project: Project, ready: Ready, until: float) -> tuple[Any, ...]:
    """A page as the daemon offers it, in values that a message can have."""
    return (project.name, project.serial, project.checked, ready.etag, ready.body, until)


def file_offer(key: str, etag: str, modified: float, cache_control: str, until: float) -> tuple[Any, ...]:
    """The same of a file."""
    return (key, etag, modified, cache_control, until)


@implementer(IAtHand)
class Replica:
    """Pages and files that the daemon offered, up to a number of bytes; what is not used for the longest goes first.

    :ivar missed: what the last question was about, if the daemon may have it at hand and we do not.
    :ivar uses: how often each entry was used since that was last told.
    """

    def __init__(self, shelf: Shelf, clock: IReactorTime, most_bytes: int) -> None:
        self.missed: Question | None = None
        self.uses: Counter[Question] = Counter()
        self._shelf = shelf
        self._clock = clock
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Question, _Page | _File] = OrderedDict()
        self._of_project: dict[str, set[Question]] = {}
        self._weight = 0

    # -- answering -------------------------------------------------------------------------------------------------

    def page(self, place: PageAt, asked: Asked, prefix: str) -> PageAtHand | None:
        if asked.format is None or not asked.wants_page(place):
            return None
        found = self._find(("page", place.index, place.project, prefix, asked.format.name, asked.coding.name))
        if not isinstance(found, _Page):
            return None
        return PageAtHand(found.project, found.ready, private=False)

    def file(self, place: FileAt, asked: Asked) -> FileAtHand | None:
        if asked.json or not place.projects:
            return None
        found = self._find(("file", place.index, place.projects[0], place.path))
        held = self._shelf.look(found.key) if isinstance(found, _File) else None
        if not isinstance(found, _File) or held is None:
            return None
        return FileAtHand(held, found.etag, found.modified, found.cache_control, private=False)

    def fresh(self, place: FileAt, asked: Asked) -> None:
        return None  # the daemon alone has it

    def _find(self, question: Question) -> _Page | _File | None:
        found = self._entries.get(question)
        if found is None or self._clock.seconds() >= found.until:
            self.missed = question
            return None
        self._entries.move_to_end(question)
        self.uses[question] += 1
        return found

    # -- what the daemon says --------------------------------------------------------------------------------------

    def take(self, question: Question, offer: Sequence[Any]) -> None:
        """Keep what the daemon offers (:func:`page_offer`, :func:`file_offer`)."""
        self._drop(question)
        entry: _Page | _File
        if question[0] == "page":
            name, serial, checked, etag, body, until = offer
            project = Project(name=ProjectName(name), revision="", serial=serial, checked=checked)
            entry = _Page(project, Ready(etag=etag, body=body), until)
        else:
            entry = _File(*offer)
        self._entries[question] = entry
        self._of_project.setdefault(question[2], set()).add(question)
        self._weight += _weight(entry)
        while self._weight > self._most_bytes and len(self._entries) > 1:
            self._drop(next(iter(self._entries)))

    def forget(self, project: str | None) -> None:
        """Something changed about a project, or about everything."""
        if project is None:
            self._entries.clear()
            self._of_project.clear()
            self._weight = 0
        for question in list(self._of_project.get(project or "", ())):
            self._drop(question)

    def _drop(self, question: Question) -> None:
        entry = self._entries.pop(question, None)
        if entry is not None:
            self._weight -= _weight(entry)
            same = self._of_project[question[2]]
            same.discard(question)
            if not same:
                del self._of_project[question[2]]


def _weight(entry: _Page | _File) -> int:
    return LIGHT + (len(entry.ready.body) if isinstance(entry, _Page) else 0)
