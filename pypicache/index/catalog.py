"""Which indexes there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pypicache.core.errors import NotFound
from pypicache.core.spec import MirrorSpec
from pypicache.core.stage import StageSpec
from pypicache.index.layered import Layered, resolution_order
from pypicache.index.mirror import Mirror
from pypicache.index.stage import Stage
from pypicache.ledger.ledger import Recorded
from pypicache.ledger.state import Spec, State

Index = Mirror | Layered


class Catalog:
    """The indexes by their full names, made when they are first asked for, and anew when their options change."""

    def __init__(
        self, state: State, make_mirror: Callable[[MirrorSpec], Mirror], make_stage: Callable[[StageSpec], Stage]
    ) -> None:
        self._state = state
        self._make_mirror = make_mirror
        self._make_stage = make_stage
        self._made: dict[str, Mirror | Layered] = {}
        self._orders: dict[str, Sequence[Stage | Mirror]] = {}
        self._ordered = state.generation  # of the accounts and indexes for which the orders hold

    def find(self, user: str, index: str) -> Index:
        """An index.

        :raises NotFound: there is none of this name.
        """
        found = self.get(f"{user}/{index}")
        if found is None:
            raise NotFound(f"The stage {user}/{index} could not be found.")
        return found

    def get(self, name: str) -> Index | None:
        """An index, if there is one of this full name."""
        spec = self._state.specs.get(name)
        made = self._made.get(name)
        if spec is None:
            self._drop(name)
            return None
        if made is None or made.spec is not spec:
            self._drop(name)
            made = self._made[name] = self._make(spec)
        return made

    def _make(self, spec: MirrorSpec | StageSpec) -> Index:
        if isinstance(spec, MirrorSpec):
            return self._make_mirror(spec)
        return Layered(self._make_stage(spec), lambda: self.order(spec.name))

    def _drop(self, name: str) -> None:
        made = self._made.pop(name, None)
        if isinstance(made, Mirror):
            made.close()

    def order(self, name: str) -> Sequence[Stage | Mirror]:
        """The indexes that an index is made of, in the order in which they are asked: stages, then mirrors."""
        if self._ordered != self._state.generation:
            self._ordered = self._state.generation
            self._orders.clear()
        if name not in self._orders:
            self._orders[name] = self._order(name)
        return self._orders[name]

    def _order(self, name: str) -> Sequence[Stage | Mirror]:
        def bases_of(other: str) -> Sequence[str] | None:
            spec = self._state.specs.get(other)
            return None if spec is None else spec.bases if isinstance(spec, StageSpec) else ()

        found = [index for other in resolution_order(name, bases_of) if (index := self.get(other)) is not None]
        stages: list[Stage | Mirror] = [index.own for index in found if isinstance(index, Layered)]
        return stages + [index for index in found if isinstance(index, Mirror)]

    def follow(self, recorded: Recorded) -> None:
        """Let stages forget what changed."""
        for made in self._made.values():
            if isinstance(made, Layered):
                made.own.forget(recorded)

    def users(self) -> list[str]:
        """Everybody who has an account, sorted."""
        return sorted(self._state.users)

    def user(self, name: str) -> dict[str, object]:
        """A user as everybody may see it, without the indexes (contract devpi 6).

        :raises NotFound: there is no such user.
        """
        record = self._state.users.get(name)
        if record is None:
            raise NotFound(f"no user {name!r}")
        public = ("email", "title", "description", "custom_data", "created", "modified")
        return {"username": name, **{key: record[key] for key in public if key in record}}

    def specs(self, user: str) -> Mapping[str, Spec]:
        """The options of a user's indexes, by their short names."""
        return self._state.indexes_of(user)

    def mirrors(self) -> list[Mirror]:
        """All mirrors there are."""
        return [index for name in list(self._state.specs) if isinstance(index := self.get(name), Mirror)]

    def __iter__(self) -> Iterator[Index]:
        return iter([index for name in list(self._state.specs) if (index := self.get(name)) is not None])
