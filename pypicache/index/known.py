"""What this process knows of the projects of one mirror: parsed pages, kept in memory up to a size."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from pypicache.core.model import Project, ProjectName
from pypicache.memory import Page
from pypicache.tasks import Shared, pause

REFRESH_EVERY = 1.0  # seconds between two questions about a project that clients want to be asked; anybody may want it
MOST_FILES = 40_000  # files of all projects in memory together; a file takes about 1.3 kB
MOST_PROJECTS = 20_000


@define
class Known:
    """One project of a mirror, as far as this process knows it.

    Times are seconds since the epoch. ``project`` is ``None`` while nothing is remembered, or when it is known that the
    upstream has no such project; ``expires`` tells how long that holds.
    """

    project: Project | None = None
    page: Page | None = None  # without its body, which stays in the database
    expires: float = 0.0  # until then no client waits for the upstream
    not_before: float = 0.0  # after a failure: when to ask again
    refreshed: float = float("-inf")  # when a client last had the upstream asked before the page expired
    failures: int = 0
    slow: bool = False  # the upstream takes longer than clients are made to wait
    fresh: bool = False  # ask caches on the way to revalidate: what came was older than what we have
    older: float | None = None  # since when the upstream sends pages older than the one we have
    check: Shared[None] | None = field(default=None)  # the question under way

    @property
    def weight(self) -> int:
        """Files in memory, plus one for the entry itself."""
        return 1 + (0 if self.project is None else len(self.project.files))

    async def turn(self, clock: IReactorTime) -> bool:
        """Wait until a client may have the upstream asked again; whether that is still needed then."""
        came = clock.seconds()
        early = self.refreshed + REFRESH_EVERY - came
        if early > 0 and self.check is None:
            await pause(clock, early)
            if self.refreshed > came and self.check is None:
                return False  # somebody else had it asked meanwhile
        if self.check is None:
            self.refreshed = clock.seconds()
        return True


class KnownProjects:
    """Entries in the order of their last use; the oldest are dropped when there are too many files in memory."""

    def __init__(self, most_files: int = MOST_FILES, most_projects: int = MOST_PROJECTS) -> None:
        self._entries: OrderedDict[ProjectName, tuple[Known, int]] = OrderedDict()
        self._most_files = most_files
        self._most_projects = most_projects
        self._weight = 0

    def get(self, name: ProjectName) -> Known | None:
        """The entry of a project, which counts as used now."""
        found = self._entries.get(name)
        if found is None:
            return None
        self._entries.move_to_end(name)
        return found[0]

    def put(self, name: ProjectName, known: Known) -> None:
        """Add an entry, or weigh it again after a change."""
        self.forget(name)
        self._entries[name] = (known, known.weight)
        self._weight += known.weight
        while len(self._entries) > 1 and (
            self._weight > self._most_files + len(self._entries) or len(self._entries) > self._most_projects
        ):
            oldest = next((other for other, (entry, _) in self._entries.items() if entry.check is None), None)
            if oldest is None or oldest == name:
                break
            self.forget(oldest)

    def forget(self, name: ProjectName) -> None:
        """Drop an entry."""
        if name in self._entries:
            self._weight -= self._entries.pop(name)[1]
