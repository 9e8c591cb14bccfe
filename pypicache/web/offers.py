"""What the lane can send at once."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen
from zope.interface import Interface

from pypicache.core.model import Project
from pypicache.store.local import Found
from pypicache.web.asked import Asked, FileAt, PageAt


@frozen(kw_only=True)
class Ready:
    """One representation of a page in one content coding."""

    etag: str  # strong, without quotes
    body: bytes


class PageAtHand(NamedTuple):
    """A page whose bytes are ready."""

    project: Project
    ready: Ready
    private: bool  # not everybody may see it


class FileAtHand(NamedTuple):
    """A file on the shelf."""

    found: Found
    etag: str
    modified: float
    cache_control: str
    private: bool


class IAtHand(Interface):
    """Pages and files that are at hand."""

    def page(place: PageAt, asked: Asked, prefix: str) -> PageAtHand | None:
        """A project's page; ``None`` if that takes more than a look.

        :param prefix: path of the outside URL.
        """

    def file(place: FileAt, asked: Asked) -> FileAtHand | None:
        """A file on the shelf; ``None`` if it is not there, or if that takes more than a look."""
