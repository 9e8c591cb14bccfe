"""An index that mirrors another one, lazily, and goes on when that one is slow, wrong or gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from pypicache.core.dist import is_wheel
from pypicache.core.errors import BadInput, Elsewhere, NotFound, UpstreamDown
from pypicache.core.model import File, Project, ProjectName
from pypicache.core.spec import MirrorSpec, UpstreamURL
from pypicache.figures import Figures
from pypicache.index.known import Known, KnownProjects
from pypicache.index.recollection import Recollection
from pypicache.index.side_files import SideFiles, found_in
from pypicache.interfaces import IBody, IIndex
from pypicache.memory import Held, Memory, Page
from pypicache.store.library import Library
from pypicache.tasks import InThread, Once, Shared, Tasks, TimedOut
from pypicache.upstream.client import Page as Fetched
from pypicache.upstream.client import Refused, Unchanged, Upstream

ABSENT_FOR = 60.0  # seconds for which "no such project" is believed; a name can appear any second
GONE_AFTER = 600.0  # seconds for which the upstream must deny a project we know before we believe it
OLDER_FOR = 86400.0  # seconds for which the upstream must send an older page than ours before we believe it
COLD_WAIT = 12.0  # seconds a client waits for a page of which nothing is known; installers give up after 15
FIRST_RETRY = 2.0  # seconds until a page is asked for again after a failure
LONGEST_RETRY = 300.0  # seconds


@frozen(kw_only=True)
class Patience:
    """How long things hold and how long clients wait, in seconds."""

    cache_expiry: float = 1800.0
    request_timeout: float = 5.0


@implementer(IIndex)
class Mirror:
    """One mirror index.

    ::

        client --> known and fresh --------------------------------> answer
                   known, expired --> ask, wait request_timeout ---> answer, stale if nothing came
                   unknown ---------> ask, wait at most 12 s ------> answer, or UpstreamDown
                                      (one question for all who wait; it goes on when they leave)
    """

    log = Logger()

    def __init__(
        self,
        spec: MirrorSpec,
        *,
        patience: Patience,
        upstream: Upstream,
        memory: Memory,
        library: Library,
        clock: IReactorTime,
        in_thread: InThread,
        figures: Figures,
        tasks: Tasks,
        changed: Callable[[str | None], None] = lambda name: None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.expiry = float(patience.cache_expiry if spec.cache_expiry is None else spec.cache_expiry)
        self.used: dict[str, float] = {}  # project -> when, not yet written down
        self._patience = patience
        self._upstream = upstream
        self._memory = memory
        self._library = library
        self._clock = clock
        self._figures = figures
        self._tasks = tasks
        self._changed = changed
        self._known = KnownProjects()
        self._loading: Once[ProjectName, Known] = Once()
        self._root: str | None = None  # where the upstream's pages are, once that is certain
        self.side_files = SideFiles(self.name, spec.url, memory, library, in_thread)
        self._recollection = Recollection(spec, self.expiry, memory, self.side_files, in_thread)
        library.kept.append(self._kept)

    @property
    def _url(self) -> UpstreamURL:
        if self.spec.url is None:
            raise NotFound(f"{self.name} has no mirror_url, so it has no projects")
        return self.spec.url

    def close(self) -> None:
        """The index is gone, or has other options: hear of files no more."""
        self._library.kept.remove(self._kept)

    async def forget(self, name: ProjectName) -> None:
        """Forget a project's page: the next one who asks for it waits for the upstream."""
        self.reload(name)
        await self._memory.forget_page(self.name, name)

    def reload(self, name: ProjectName) -> None:
        """Look again at what is remembered and held of a project."""
        self._known.forget(name)
        self._changed(name)

    # -- answering -------------------------------------------------------------------------------------------------

    async def project(self, name: ProjectName, refresh: bool = False) -> Project:
        known = await self._find(name)
        now = self._clock.seconds()
        self.used[name] = now
        if self._upstream.offline:
            return await self._recollection.held_only(name, known)
        refresh = refresh and await known.turn(self._clock)
        if now < known.expires and not refresh:
            self._figures.page_hits += 1
            return self._listed(name, known)
        if known.project is not None and now < known.not_before and not refresh:
            self._figures.page_hits += 1
            return evolve(known.project, stale=True)
        self._figures.page_misses += 1
        known.fresh = known.fresh or refresh
        try:
            await self._wait(name, known)
        except (UpstreamDown, TimedOut) as error:
            project = known.project or await self._recollection.of_files(name)
            if project is not None:
                return evolve(project, stale=True)
            if isinstance(error, UpstreamDown):
                raise
            raise UpstreamDown(f"the upstream of {self.name} takes too long for the page of {name}") from None
        return self._listed(name, known)

    def at_hand(self, name: ProjectName) -> Project | None:
        known = self._known.get(name)
        now = self._clock.seconds()
        if known is None or now >= known.expires or self._upstream.offline:
            return None
        self.used[name] = now
        self._figures.page_hits += 1
        return self._listed(name, known)

    def until(self, name: ProjectName) -> float:
        known = self._known.get(name)
        return 0.0 if known is None else known.expires

    def held(self, name: ProjectName, path: str) -> File | None:
        return found_in(self.at_hand(name), path)

    def _listed(self, name: ProjectName, known: Known) -> Project:
        if known.project is None:
            raise NotFound(f"{self.name} has no project {name}")
        return known.project

    async def _wait(self, name: ProjectName, known: Known) -> None:
        if known.check is not None and known.slow and known.project is not None:
            raise TimedOut  # somebody waited already and found out that it takes long
        check = self.ask(name, known)
        if known.project is None:
            await check.join(self._clock, max(self._patience.request_timeout, COLD_WAIT))
            return
        try:
            await check.join(self._clock, self._patience.request_timeout)
        except TimedOut:
            known.slow = True
            raise

    async def open(self, name: ProjectName, path: str) -> IBody:
        wanted = path.removesuffix(".metadata")
        project = await self.project(name)
        try:
            file = project.file(wanted)
        except NotFound:
            if project.stale or self._upstream.offline:
                raise
            file = (await self.project(name, refresh=self._clock.seconds() - (project.checked or 0) > 5)).file(wanted)
        if wanted != path:
            return await self.side_files.metadata(name, file)
        key = f"{self.name}/{file.path}"
        if self.spec.use_external_urls and not self._library.shelf.holds(key):
            raise Elsewhere(file.url)
        return self._library.open(key, name, file, self.spec.url)

    # -- what is remembered ----------------------------------------------------------------------------------------

    async def _find(self, name: ProjectName) -> Known:
        known = self._known.get(name)
        if known is not None:
            return known
        return await self._loading.start(name, lambda: self._load(name)).join()

    async def _load(self, name: ProjectName) -> Known:
        known = await self._recollection.load(name)
        self._known.put(name, known)
        return known

    # -- asking the upstream ---------------------------------------------------------------------------------------

    def ask(self, name: ProjectName, known: Known) -> Shared[None]:
        """The question to the upstream for a page: the one under way, or a new one."""
        if known.check is not None:
            return known.check
        check = Shared(self._check(name, known))
        if not check.done:
            known.check = check
            self._tasks.keep(check.task, f"asking for {name}")
        return check

    async def refresh_ahead(self, name: ProjectName) -> None:
        """Revalidate a page before it expires; for the clock, not for clients."""
        known = await self._find(name)
        if self._clock.seconds() >= known.not_before:
            with suppress(UpstreamDown):
                await self.ask(name, known).join()

    async def _check(self, name: ProjectName, known: Known) -> None:
        try:
            try:
                answer = await self._fetch(name, known)
            except NotFound as error:
                await self._denied(name, known, error)
            else:
                if isinstance(answer, Unchanged) and known.page is not None and known.project is not None:
                    await self._confirmed(name, known)
                elif isinstance(answer, Fetched):
                    await self._came(name, known, answer)
                else:
                    raise UpstreamDown(f"the upstream of {self.name} answered 304 for {name}, which is not remembered")
            known.failures = 0
        except UpstreamDown as error:
            known.failures += 1
            wait = max(float(error.retry_after), FIRST_RETRY * 2 ** min(known.failures, 10))
            known.not_before = self._clock.seconds() + min(wait, LONGEST_RETRY)
            self.log.warn("{index}: {why}", index=self.name, why=str(error))
            raise
        except Exception:
            self.log.failure("{index}: asking for {name} failed", index=self.name, name=name)
            raise
        finally:
            known.check = None
            known.slow = False

    async def _fetch(self, name: ProjectName, known: Known) -> Fetched | Unchanged:
        url = self._url
        etag = None if known.page is None or known.project is None else known.page.etag
        modified = None if known.page is None or known.project is None else known.page.modified
        ask = partial(self._upstream.page, login=url, etag=etag, modified=modified, fresh=known.fresh)
        try:
            answer = await ask(f"{self._root or url.base}{name}/")
        except NotFound:
            if self._root is not None or "simple" in urlsplit(url.base).path:
                raise
            # Nothing was ever found here: perhaps the URL of the server was given instead of the URL of its index.
            answer = await ask(f"{url.base}simple/{name}/")
            self._root = f"{url.base}simple/"
            return answer
        self._root = self._root or url.base
        return answer

    async def _came(self, name: ProjectName, known: Known, answer: Fetched) -> None:
        now = self._clock.seconds()
        try:
            project = await self._recollection.parse(name, answer.body, answer.content_type, answer.url)
        except BadInput as error:
            raise UpstreamDown(f"{answer.url}: {error}") from error
        serial = answer.serial if answer.serial is not None else project.serial
        self._check_serial(known, answer, serial, now)
        page = Page(
            source=self._url.base, url=answer.url, content_type=answer.content_type, body=answer.body, etag=answer.etag,
            modified=answer.modified, serial=serial, checked=now,
        )  # fmt: skip
        known.project = await self.side_files.overlay(evolve(project, serial=serial, checked=now))
        known.page = evolve(page, body=b"")
        known.expires = now + self.expiry
        known.fresh = False
        known.older = None
        self._known.put(name, known)
        self._changed(name)
        # Whoever waits for the page does not wait for the disk.
        saved = self._memory.save_page(self.name, name, page, self.used.get(name, now))
        self._tasks.keep(saved, f"remembering the page of {name}")

    def _check_serial(self, known: Known, answer: Fetched, serial: int | None, now: float) -> None:
        """Refuse a page that is older than ours, as caches on the way may have; unless the upstream insists on it."""
        have = known.project.serial if known.project is not None else None
        comparable = known.page is not None and known.page.source == self._url.base
        if not comparable or have is None or serial is None or serial >= have or self.spec.ignore_serial_header:
            return
        known.fresh = True
        known.older = now if known.older is None else known.older
        if now - known.older < OLDER_FOR:
            raise UpstreamDown(f"{answer.url}: serial {serial} is older than {have}, which we have", ABSENT_FOR)
        self.log.warn(
            "{index}: {url}: the upstream insists on serial {serial}", index=self.name, url=answer.url, serial=serial
        )

    async def _confirmed(self, name: ProjectName, known: Known) -> None:
        assert known.page is not None
        assert known.project is not None
        now = self._clock.seconds()
        known.page = evolve(known.page, checked=now, missing=None)
        known.project = evolve(known.project, checked=now)
        known.expires = now + self.expiry
        known.fresh = False
        await self._memory.confirm_page(self.name, name, now, None)

    async def _denied(self, name: ProjectName, known: Known, error: NotFound) -> None:
        """The upstream says that there is no such project. Of one we know, that is believed only when it insists."""
        now = self._clock.seconds()
        if known.project is None or known.page is None:
            known.expires = now + min(ABSENT_FOR, max(1.0, self.expiry))
            self._known.put(name, known)
            return
        since = known.page.missing if known.page.missing is not None else now
        if isinstance(error, Refused) or now - since < GONE_AFTER:
            known.page = evolve(known.page, missing=since)
            await self._memory.confirm_page(self.name, name, known.page.checked, since)
            raise UpstreamDown(
                f"{error}, though it was known; believed when it is said for {GONE_AFTER:.0f} s", ABSENT_FOR
            )
        self.log.warn("{index}: {name} is gone at the upstream", index=self.name, name=name)
        known.project = known.page = None
        known.expires = now + ABSENT_FOR
        self._known.put(name, known)
        self._changed(name)
        await self._memory.forget_page(self.name, name)

    def _kept(self, held: Held) -> None:
        if held.index != self.name:
            return
        if held.made:
            known = self._known.get(ProjectName(held.project))
            if known is not None and known.project is not None:
                known.project = self.side_files.add(known.project, held)
                self._changed(ProjectName(held.project))
        elif is_wheel(held.key):
            self._tasks.start(self._complete(held), f"taking the metadata out of {held.key}")

    async def _complete(self, wheel: Held) -> None:
        """Make the core metadata of a wheel that came, if the upstream has none."""
        known = await self._find(ProjectName(wheel.project))
        path = wheel.key.removeprefix(self.name + "/")
        files = () if known.project is None else known.project.files
        file_name = path.rpartition("/")[2]
        if any(file.name == file_name and file.path == path and not file.core_metadata for file in files):
            await self.side_files.make(wheel)
