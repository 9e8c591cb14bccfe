"""What can go wrong, said without HTTP. One table in :mod:`pypicache.web` maps these to status codes."""

from __future__ import annotations

from math import ceil


class PypicacheError(Exception):
    """Anything that a client or an operator is told in a sentence."""


class BadInput(PypicacheError):
    """A value from outside is not of the form it must have; the sentence says which and what was expected."""


class NotFound(PypicacheError):
    """There is no such project, file, or index. Said only when it is known, never when it could not be asked."""


class Gone(NotFound):
    """It existed and was deleted."""


class Denied(PypicacheError):
    """Whoever asks is known, or need not be, and may not do this."""


class NeedsLogin(PypicacheError):
    """Nobody has logged in, or not properly, and somebody would have to.

    :ivar challenge: whether the client is told how, so that installers ask for credentials.
    """

    def __init__(self, sentence: str, challenge: bool = True) -> None:
        super().__init__(sentence)
        self.challenge = challenge


class Conflict(PypicacheError):
    """What is there already stands against it."""


class TooLarge(PypicacheError):
    """More bytes than are taken."""


class NoRoom(PypicacheError):
    """The disk takes no more bytes."""


class TooMany(PypicacheError):
    """More than is done at once, or so soon again.

    :ivar retry_after: whole seconds after which asking again makes sense, at least 1.
    """

    def __init__(self, sentence: str, retry_after: float) -> None:
        self.retry_after = max(1, ceil(retry_after))
        super().__init__(f"{sentence}; try again in {self.retry_after} s")


class Elsewhere(PypicacheError):
    """The bytes are to be had from another address.

    :ivar url: absolute, without credentials.
    """

    def __init__(self, url: str) -> None:
        super().__init__(f"to be found at {url}")
        self.url = url


class UpstreamDown(PypicacheError):
    """The upstream cannot be asked, or answered with nonsense, and nothing is remembered.

    :ivar retry_after: whole seconds after which asking again makes sense, at least 1.
    """

    def __init__(self, sentence: str, retry_after: float = 5) -> None:
        super().__init__(sentence)
        self.retry_after = max(1, round(retry_after))


class Offline(UpstreamDown):
    """The upstream may not be asked, because the daemon runs offline."""


class Broken(PypicacheError):
    """A body cannot be delivered to its end. After the first byte of an answer this cuts the connection."""


class Corrupt(Broken):
    """The bytes of a file are not those its index promised."""
