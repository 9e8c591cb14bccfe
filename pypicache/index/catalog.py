"""Which indexes there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pypicache.core.errors import NotFound
from pypicache.index.mirror import Mirror


class Catalog:
    """The indexes by their full names."""

    def __init__(self, mirrors: Iterable[Mirror]) -> None:
        self._indexes = {mirror.name: mirror for mirror in mirrors}

    def find(self, user: str, index: str) -> Mirror:
        """An index.

        :raises NotFound: there is none of this name.
        """
        try:
            return self._indexes[f"{user}/{index}"]
        except KeyError:
            raise NotFound(f"there is no index {user}/{index}") from None

    def of(self, user: str) -> dict[str, Mirror]:
        """A user's indexes by their short names.

        :raises NotFound: there is no such user.
        """
        found = {name.partition("/")[2]: index for name, index in self._indexes.items() if name.startswith(user + "/")}
        if not found:
            raise NotFound(f"there is no user {user}")
        return found

    def users(self) -> list[str]:
        """Everybody who has an index, sorted."""
        return sorted({name.partition("/")[0] for name in self._indexes})

    def __iter__(self) -> Iterator[Mirror]:
        return iter(self._indexes.values())
