"""What plain questions have to wait for: pages that somebody is asked for, and small files that are not held yet.

The upstream is asked, pages are made and downloads followed as on the normal path; what is left out is the machinery of
HTTP around it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pypicache.index.catalog import Catalog, Index
from pypicache.index.mirror import Mirror
from pypicache.store.library import ComingBody
from pypicache.web.asked import Asked, FileAt, PageAt
from pypicache.web.callers import Callers
from pypicache.web.offers import IComing, PageAtHand, WholeFile
from pypicache.web.ready import ReadyPages
from pypicache.web.said import lifetime


@implementer(IComing)
class Coming:
    """Answers of the whole house that somebody has to be asked for."""

    def __init__(self, catalog: Catalog, callers: Callers, pages: ReadyPages) -> None:
        self._catalog = catalog
        self._callers = callers
        self._pages = pages

    def page(self, place: PageAt, asked: Asked, prefix: str) -> Deferred[PageAtHand | None] | None:
        index = self._catalog.get(place.index)
        if index is None or asked.format is None or not asked.wants_page(place):
            return None
        private = self._callers.at_hand(asked, index.spec, place.project)
        return None if private is None else Deferred.fromCoroutine(self._page(index, place, asked, prefix, private))

    async def _page(self, index: Index, place: PageAt, asked: Asked, prefix: str, private: bool) -> PageAtHand:
        assert asked.format is not None
        project = await index.project(place.project)
        ready = await self._pages.page(prefix, index.name, project, asked.format, asked.coding)
        return PageAtHand(project, ready, private)

    def file(self, place: FileAt, asked: Asked) -> Deferred[WholeFile | None] | None:
        index = self._catalog.get(place.index)
        # A name that may belong to several projects is asked for in each of them, and whoever has a copy, or wants a
        # part, may be answered without the file.
        if not isinstance(index, Mirror) or len(place.projects) != 1 or asked.json or asked.conditional:
            return None
        private = self._callers.at_hand(asked, index.spec, place.projects[0])
        return None if private is None else Deferred.fromCoroutine(self._file(index, place, private))

    async def _file(self, mirror: Mirror, place: FileAt, private: bool) -> WholeFile | None:
        body = await mirror.open(place.projects[0], place.path)
        try:
            if not isinstance(body, ComingBody) or body.etag is None or body.modified is None:
                return None
            content = await body.content()
            if content is None:
                return None
            return WholeFile(content, body.etag, body.modified, lifetime(place.path), private)
        finally:
            body.close()
