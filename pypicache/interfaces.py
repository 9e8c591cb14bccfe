"""The contracts between the layers; only where two real implementations exist."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from pypicache.core.model import File, Project, ProjectName


class IIndex(Interface):
    """A set of projects, wherever they come from."""

    name: str = Attribute("The full name, user/index.")

    async def project(name: ProjectName, refresh: bool = False) -> Project:
        """One project as this index sees it.

        :param refresh: the client does not want what is remembered; ask the upstream now.
        :raises NotFound: the index has no such project.
        :raises UpstreamDown: the answer is unknown and none is remembered.
        """

    def at_hand(name: ProjectName) -> Project | None:
        """The answer of :meth:`project` if it can be given without asking anybody; ``None`` if it cannot.

        :raises NotFound: it is known that the index has no such project.
        """

    def until(name: ProjectName) -> float:
        """Until when the answer of :meth:`at_hand` holds if nothing happens, in seconds since the epoch."""

    def held(name: ProjectName, path: str) -> File | None:
        """The file that :meth:`open` would open, if it can be told without asking anybody; ``None`` if it cannot.

        :raises NotFound: it is known that the project, as this index sees it, lists no such file.
        """

    async def open(name: ProjectName, path: str) -> IBody:
        """The bytes of one file, found through the project's listing, so that hidden means hidden.

        :param path: :attr:`File.path`, or that of a file followed by ``.metadata`` for its core metadata (PEP 658).
        :raises NotFound: the project, as this index sees it, lists no such file.
        :raises UpstreamDown: the listing is unknown.
        """


class IReader(Interface):
    """Reads one span of a body, front to back."""

    async def read(limit: int) -> bytes:
        """The next bytes, at least one and at most ``limit``; ``b""`` at the end of the span.

        :param limit: 0 to wait until there are any, or there is the end, and to take none.
        :raises Broken: the rest of the body cannot be had, or is not what it should be.
        """

    def spooled() -> tuple[int, int, int] | None:
        """Where the next bytes are, if they are in a file: its descriptor, their offset, and how many, at least one.

        They count as read only by :meth:`advance`.
        """

    def advance(count: int) -> None:
        """So many bytes of those in :meth:`spooled` were taken."""

    def close() -> None:
        """Let go of what the reader holds. Calling it twice is fine."""


class IBody(Interface):
    """The bytes of one file, complete on disk, still arriving, or passed through from the upstream."""

    size: int | None = Attribute(
        "Length in bytes; None if nobody knows it yet. Certain after the first bytes were read."
    )
    etag: str | None = Attribute("Strong entity tag without quotes; None if nothing identifies the bytes.")
    modified: float | None = Attribute("Last modification in seconds since the epoch, if known.")

    async def measure() -> None:
        """Find out the size, if it is not known yet and there is a way to know it.

        :raises NotFound: the upstream has no such file.
        :raises UpstreamDown: it cannot be asked.
        """

    def reader(first: int, end: int | None) -> IReader:
        """A reader of the bytes from ``first`` up to but without ``end`` (``None``: to the end of the body)."""

    def close() -> None:
        """Let go of the body; its readers are closed by whoever made them."""
