"""API tokens: secrets with limits, for machines that upload and install."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from pypicache.core.access import Caller, Scope, Verb, listing
from pypicache.core.changes import TokenSaved
from pypicache.core.errors import BadInput
from pypicache.core.model import index_name, project_name
from pypicache.ledger.state import State

DAY = 86_400  # seconds
YEAR = 365 * DAY
ANY_USER = ("", "__token__")  # what tools send in place of a user's name
ACTIONS = (Verb.READ, Verb.UPLOAD, Verb.TOXRESULT_UPLOAD, Verb.DELETE)
SHORT_ACTIONS = {
    "read": Verb.READ,
    "delete": Verb.DELETE,
    "toxresult": Verb.TOXRESULT_UPLOAD,
    "del_project": Verb.DELETE,
    "del_verdata": Verb.DELETE,
}
LIMITS = ("allowed", "expires", "indexes", "projects", "not_before")
PREFIX = "pypicache-"
_TEXT = re.compile(PREFIX + r"([0-9a-f]{16})-([A-Za-z0-9_-]{43})")


@frozen(kw_only=True)
class Limits:
    """What a token may be used for; ``None``: not limited in this way."""

    actions: tuple[str, ...] | None = None
    indexes: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None  # normalised
    expires: float | None = None  # seconds since the epoch
    not_before: float | None = None  # seconds since the epoch

    @classmethod
    def read(cls, asked: Mapping[str, Any], now: float) -> Limits:
        """Read what a client asks for (contract devpi-features J); without ``expires`` it is a year.

        :raises BadInput: an unknown limit, or one that cannot be.
        """
        unknown = sorted(set(asked) - set(LIMITS))
        if unknown:
            raise BadInput(f"{unknown[0]} is not a limit of a token; expected one of {', '.join(LIMITS)}")
        given = {key: value for key, value in asked.items() if value is not None}
        expires = given.get("expires", now + YEAR)
        return cls(
            actions=_several("allowed", given, _action),
            indexes=_several("indexes", given, lambda name: index_name(name.strip("/"))),
            projects=_several("projects", given, project_name),
            expires=None if expires == "never" else _moment("expires", expires, now),
            not_before=_moment("not_before", given["not_before"], 0) if "not_before" in given else None,
        )

    def within_a_year(self, now: float) -> float:
        """When the token ends if it may not be good for longer than a year.

        :raises BadInput: that is not enough.
        """
        if self.expires is None or self.expires > now + YEAR + DAY:
            raise BadInput("expires: expected at most a year from now; root may make tokens that last longer")
        return self.expires

    def record(self) -> dict[str, Any]:
        """The limits as the ledger has them; what is not limited is absent."""
        fields = {
            "actions": self.actions,
            "indexes": self.indexes,
            "projects": self.projects,
            "expires": self.expires,
            "not_before": self.not_before,
        }
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in fields.items()
            if value is not None
        }


def _several(key: str, given: Mapping[str, Any], read: Any) -> tuple[str, ...] | None:
    if key not in given:
        return None
    found = tuple(dict.fromkeys(str(read(item)) for item in listing(key, given[key])))
    if not found:
        raise BadInput(f"{key} = {given[key]!r}: expected at least one, or no such limit")
    return found


def _action(text: str) -> Verb:
    known = {verb.value: verb for verb in ACTIONS} | SHORT_ACTIONS
    if text not in known:
        raise BadInput(f"allowed: {text!r} is nothing that a token can do; expected {', '.join(sorted(known))}")
    return known[text]


def _moment(key: str, value: object, after: float) -> float:
    try:
        moment = float(value)  # type: ignore[arg-type]  # whatever cannot be read is refused
    except (TypeError, ValueError, OverflowError):
        moment = -1
    if isinstance(value, bool) or not after <= moment < 2**53:
        raise BadInput(f"{key} = {value!r}: expected seconds since 1970, in the future") from None
    return moment


class ApiTokens:
    """Makes API tokens, and tells the caller by one.

    ::

        pypicache - id, 16 hex digits - secret, 43 characters

    :ivar last_used: id -> seconds since the epoch, since this process was started.
    """

    def __init__(self, state: State, clock: IReactorTime) -> None:
        self._state = state
        self._clock = clock
        self.last_used: dict[str, float] = {}

    def make(self, user: str, limits: Limits) -> tuple[str, TokenSaved]:
        """The text of a new token, which nobody can tell again, and what is recorded of it."""
        id_, secret = token_hex(8), token_urlsafe(32)
        digest = sha256(secret.encode()).hexdigest()
        record = {"digest": digest, "created": int(self._clock.seconds()), **limits.record()}
        return f"{PREFIX}{id_}-{secret}", TokenSaved(id=id_, user=user, record=record)

    def caller(self, text: str, user: str) -> Caller:
        """Who a token stands for: nobody, with the reason, if it is wrong, over, or not of this user.

        What is told of a token is told to those who have all of it.

        :param user: as it came with the token; empty or ``__token__`` if any will do.
        """
        matched = _TEXT.fullmatch(text)
        if matched is None:
            return Caller(unfit="malformed API token")
        owner, record = self._state.tokens.get(matched[1], ("", {}))
        digest = sha256(matched[2].encode()).hexdigest()
        if not hmac.compare_digest(digest, record.get("digest", "")) or owner not in self._state.users:
            return Caller(unfit="unknown or deleted API token")
        if user not in ANY_USER and user != owner:
            return Caller(unfit=f"API token of another user than {user!r}")
        now = self._clock.seconds()
        if now >= record.get("expires", float("inf")):
            return Caller(unfit="API token expired")
        if now < record.get("not_before", 0):
            return Caller(unfit="API token not yet valid")
        self.last_used[matched[1]] = now
        return Caller(user=owner, scope=Scope(**_scope(record)))

    def of_user(self, user: str) -> dict[str, dict[str, Any]]:
        """A user's tokens by their ids, without anything secret."""
        return {
            id_: shown(record) | ({"last_used": self.last_used[id_]} if id_ in self.last_used else {})
            for id_, (owner, record) in self._state.tokens.items()
            if owner == user
        }


def is_token(secret: str) -> bool:
    """Whether a secret has the form of an API token; then it is not tried as anything else."""
    return _TEXT.fullmatch(secret) is not None


def is_like_token(secret: str) -> bool:
    """Whether a secret begins like an API token; it may be a password even so."""
    return secret.startswith(PREFIX)


def shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """A token's record as its user may see it, in the words in which it is asked for."""
    return {{"actions": "allowed"}.get(key, key): value for key, value in record.items() if key != "digest"}


def _scope(record: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    fields = {"actions": "verbs", "indexes": "indexes", "projects": "projects"}
    return {name: frozenset(record[key]) for key, name in fields.items() if key in record}
