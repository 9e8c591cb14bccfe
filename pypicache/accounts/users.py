"""Making, changing and deleting users (contract devpi 6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.internet.interfaces import IReactorTime

from pypicache.accounts.passwords import Passwords, check_hash
from pypicache.core.changes import Change, UserGone, UserSaved
from pypicache.core.errors import BadInput, Conflict, Denied, NotFound
from pypicache.core.model import user_name
from pypicache.ledger.ledger import Decision, Ledger, all_indexes, departure, user_record
from pypicache.ledger.state import State

TEXTS = ("email", "title", "description")
SETTABLE = (*TEXTS, "custom_data")
IGNORED = ("indexes", "username", "created", "modified")
SECRETS = ("password", "pwhash", "pwsalt")


class Users:
    """What can be done with users' accounts; whether somebody may is asked before."""

    def __init__(self, ledger: Ledger, state: State, passwords: Passwords, clock: IReactorTime) -> None:
        self._ledger = ledger
        self._state = state
        self._passwords = passwords
        self._clock = clock

    async def create(self, name: str, asked: Mapping[str, Any]) -> None:
        """Make a user.

        :raises BadInput: the name or a value cannot be, or ``password`` is missing.
        :raises Conflict: there is one of this name.
        """
        user_name(name)
        unknown = sorted(set(asked) - {*SETTABLE, *IGNORED, *SECRETS})
        if unknown:
            raise BadInput(f"Unknown keys in user config: {', '.join(unknown)}")
        if "password" not in asked:
            raise BadInput("password needs to be set")
        if name in self._state.users:
            raise Conflict("user already exists")
        given = {key: value for key, value in _settable(asked).items() if value}
        record = given | await self._secret(asked) | {"created": self._now()}

        def decide(connection: Any) -> Decision[None]:
            if user_record(connection, name) is not None:
                raise Conflict("user already exists")
            return Decision([UserSaved(name=name, record=record)], None)

        await self._ledger.change(decide)

    async def modify(self, name: str, asked: Mapping[str, Any]) -> None:
        """Change what is mentioned; what is empty is removed; what is no part of a record is not looked at.

        :raises BadInput: a value cannot be.
        :raises NotFound: there is no such user.
        """
        if name not in self._state.users:
            raise NotFound(f"no user {name!r}")
        edits = _settable(asked)
        sets_secret = bool({"password", "pwhash"} & set(asked))
        secret = await self._secret(asked) if sets_secret else {}

        def decide(connection: Any) -> Decision[None]:
            before = user_record(connection, name)
            if before is None:
                raise NotFound(f"no user {name!r}")
            after = {key: value for key, value in (before | edits).items() if value or key not in edits}
            if sets_secret:
                after = {key: value for key, value in after.items() if key not in SECRETS} | secret
            if after == before:
                return Decision([], None)
            return Decision([UserSaved(name=name, record=after | {"modified": self._now()})], None)

        await self._ledger.change(decide)

    async def delete(self, name: str) -> None:
        """Delete a user, with all indexes.

        :raises NotFound: there is no such user.
        :raises Denied: an index of the user is not volatile.
        """

        def decide(connection: Any) -> Decision[None]:
            if user_record(connection, name) is None:
                raise NotFound(f"no user {name!r}")
            owned = {
                index: options for index, options in all_indexes(connection).items() if index.partition("/")[0] == name
            }
            lasting = [index.partition("/")[2] for index, options in owned.items() if not options.get("volatile", True)]
            if lasting:
                raise Denied(f"user {name!r} has non-volatile index: {', '.join(sorted(lasting))}")
            changes: list[Change] = [change for index in owned for change in departure(connection, index)]
            return Decision([*changes, UserGone(name=name)], None)

        await self._ledger.change(decide)

    async def _secret(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """The hash to record; none for the empty password, with which one can log in on this machine only."""
        if asked.get("pwhash"):
            return {"pwhash": check_hash(asked["pwhash"])}
        password = asked.get("password") or ""
        if not isinstance(password, str):
            raise BadInput("password: expected text")
        return {"pwhash": await self._passwords.hashed(password)} if password else {}

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.seconds(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _settable(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a client sets, of all that it sends.

    :raises BadInput: a text is none.
    """
    found = {key: asked[key] for key in SETTABLE if key in asked}
    for key in TEXTS:
        if found.get(key) and not isinstance(found[key], str):
            raise BadInput(f"{key} = {found[key]!r}: expected text")
    return found
