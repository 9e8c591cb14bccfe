"""What can be answered at once: ready pages and held files, for whoever may see them, without waiting for anything.

Nothing is remembered here that could become wrong: each question looks at the truth, the page that the mirror knows and
the access lists as they are now.
"""

from __future__ import annotations

from zope.interface import implementer

from pypicache.core.errors import PypicacheError
from pypicache.core.model import File
from pypicache.index.catalog import Catalog
from pypicache.store.bodies import description, etag_of, uploaded
from pypicache.store.library import Library
from pypicache.web.asked import Asked, FileAt, PageAt
from pypicache.web.callers import Callers
from pypicache.web.offers import FileAtHand, IAtHand, PageAtHand, WholeFile
from pypicache.web.ready import ReadyPages
from pypicache.web.said import lifetime


@implementer(IAtHand)
class AtHand:
    """Answers of the whole house that wait for nothing."""

    def __init__(self, catalog: Catalog, callers: Callers, pages: ReadyPages, library: Library) -> None:
        self._catalog = catalog
        self._callers = callers
        self._pages = pages
        self._library = library

    def page(self, place: PageAt, asked: Asked, prefix: str) -> PageAtHand | None:
        if asked.format is None or not asked.wants_page(place):
            return None
        found = self._pages.at_hand((prefix, place.index, place.project, asked.format), asked.coding)
        index = None if found is None else self._catalog.get(place.index)
        if found is None or index is None:
            return None
        private = self._callers.at_hand(asked, index.spec, place.project)
        if private is None:
            return None
        try:
            project = index.at_hand(place.project)
        except PypicacheError:
            return None
        if project is None or project.revision != found[0]:
            return None
        return PageAtHand(project, found[1], private)

    def file(self, place: FileAt, asked: Asked) -> FileAtHand | None:
        listed = self._listed(place, asked)
        found = None if listed is None else self._library.look(place.key)
        if listed is None or found is None:
            return None
        file, private = listed
        etag, modified = description(file, found)
        return FileAtHand(found, etag, modified, lifetime(place.path), private)

    def fresh(self, place: FileAt, asked: Asked) -> WholeFile | None:
        listed = None if asked.conditional else self._listed(place, asked)
        if listed is None:
            return None
        file, private = listed
        etag, modified = etag_of(file), uploaded(file)
        content = None if etag is None or modified is None else self._library.fresh(place.key)
        if etag is None or modified is None or content is None:
            return None
        return WholeFile(content, etag, modified, lifetime(place.path), private)

    def _listed(self, place: FileAt, asked: Asked) -> tuple[File, bool] | None:
        """The file of an address, and whether not everybody may see it."""
        index = None if asked.json else self._catalog.get(place.index)
        if index is None or not place.projects:
            return None
        private = self._callers.at_hand(asked, index.spec, place.projects[0])
        if private is None:
            return None
        try:
            file = index.held(place.projects[0], place.path)
        except PypicacheError:
            return None
        return None if file is None else (file, private)
