"""Users, indexes and tokens, held in memory: they are few, and every request asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from pypicache.core.changes import IndexGone, IndexSaved, TokenGone, TokenSaved, UserGone, UserSaved
from pypicache.core.errors import BadInput
from pypicache.core.spec import MirrorSpec
from pypicache.core.stage import StageSpec
from pypicache.ledger.ledger import Ledger, Recorded, all_indexes, all_tokens, all_users

Spec = MirrorSpec | StageSpec
ACCOUNTS = UserSaved | UserGone | TokenSaved | TokenGone
INDEXES = IndexSaved | IndexGone


def spec_of(name: str, options: Mapping[str, object]) -> Spec:
    """An index's options as a value.

    :raises BadInput: an unknown type, or a value that an option cannot have.
    """
    match options.get("type", "stage"):
        case "mirror":
            return MirrorSpec.from_options(name, options)
        case "stage":
            return StageSpec.from_options(name, options)
        case other:
            raise BadInput(f"unknown index type {other!r}")


@define
class State:
    """What the ledger says about accounts and indexes, up to its last serial."""

    users: dict[str, Mapping[str, Any]] = field(factory=dict)  # name -> record
    specs: dict[str, Spec] = field(factory=dict)  # user/index -> options
    tokens: dict[str, tuple[str, Mapping[str, Any]]] = field(factory=dict)  # id -> user, record
    generation: int = 0  # another one whenever an account, an index or a token changes

    log = Logger()

    def load(self, ledger: Ledger) -> None:
        """Read everything, and follow what is recorded from now on. Blocks."""
        self.users = dict(ledger.read_now(all_users))
        self.tokens = dict(ledger.read_now(all_tokens))
        for name, options in ledger.read_now(all_indexes).items():
            self._take_index(name, options)
        self.generation += 1
        ledger.listeners.insert(0, self.follow)

    def follow(self, recorded: Recorded) -> None:
        """Take over what was recorded."""
        if any(isinstance(change, ACCOUNTS | INDEXES) for change in recorded.changes):
            self.generation += 1
        for change in recorded.changes:
            match change:
                case UserSaved(name=name, record=record):
                    self.users[name] = record
                case UserGone(name=name):
                    self.users.pop(name, None)
                    self.tokens = {id_: token for id_, token in self.tokens.items() if token[0] != name}
                case IndexSaved(name=name, options=options):
                    self._take_index(name, options)
                case IndexGone(name=name):
                    self.specs.pop(name, None)
                case TokenSaved(id=id_, user=user, record=record):
                    self.tokens[id_] = (user, record)
                case TokenGone(id=id_):
                    self.tokens.pop(id_, None)

    def _take_index(self, name: str, options: Mapping[str, object]) -> None:
        try:
            self.specs[name] = spec_of(name, options)
        except BadInput as error:  # written by another version; the index can still be deleted
            self.log.error("index {name} cannot be used: {why}", name=name, why=str(error))

    def indexes_of(self, user: str) -> dict[str, Spec]:
        """A user's indexes by their short names."""
        return {name.partition("/")[2]: spec for name, spec in self.specs.items() if name.startswith(user + "/")}
