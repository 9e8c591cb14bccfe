"""What the lane can send at once."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen
from twisted.internet.defer import Deferred
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


class WholeFile(NamedTuple):
    """A small file that came just now, verified; the disk may not have it yet."""

    content: bytes
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

    def fresh(place: FileAt, asked: Asked) -> WholeFile | None:
        """A small file that came just now, if the whole of it is asked for; the disk may not have it yet."""


class IComing(Interface):
    """Pages and files that are not at hand, but may be soon."""

    def page(place: PageAt, asked: Asked, prefix: str) -> Deferred[PageAtHand | None] | None:
        """A project's page, when those who know it were asked.

        :return: ``None`` if it is better left to the normal path, which may also turn out later. Fails with what the
            normal path would have failed with.
        """

    def file(place: FileAt, asked: Asked) -> Deferred[WholeFile | None] | None:
        """The same of a file; small ones only, and whole."""
