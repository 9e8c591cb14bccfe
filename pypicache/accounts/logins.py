"""Login tokens: what a client gets for its password, and sends in its place (contract devpi 2.3)."""

from __future__ import annotations

import hmac
import json
import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from pypicache.core.errors import BadInput

LIFETIME = 36_000  # seconds
PREFIX = "login."
SHORTEST_SECRET = 32  # bytes
LEAST_VARIETY = 6  # different bytes
MOST_KNOWN = 10_000  # tokens


@frozen
class _Known:
    user: str
    made: int  # seconds since the epoch
    bound: tuple[object, object]  # what is signed with it


class Logins:
    """Makes and checks login tokens.

    ::

        login . base64url( ["user", seconds since the epoch] ) . base64url( HMAC-SHA256 )

    The password's hash is signed with it, so that a new password ends the tokens of the old one.

    :param secret: the key; whoever has it can be anybody.
    """

    def __init__(self, secret: bytes, clock: IReactorTime) -> None:
        self._key = hmac.digest(secret, b"pypicache login token", "sha256")
        self._clock = clock
        self._known: dict[str, _Known] = {}  # tokens whose signature was checked, because tools send them every time

    def make(self, user: str, record: Mapping[str, Any]) -> str:
        """A token for a user, pure ASCII."""
        content = _encoded(json.dumps([user, int(self._clock.seconds())]).encode())
        return f"{PREFIX}{content}.{self._signature(content, record)}"

    def fits(self, token: str, user: str, record: Mapping[str, Any]) -> bool:
        """Whether a token was made for this user, with this password, and is not too old."""
        bound = (record.get("pwhash"), record.get("created"))
        known = self._known.get(token)
        if known is None or known.bound != bound:
            content, _, signature = token.removeprefix(PREFIX).partition(".")
            if not hmac.compare_digest(self._signature(content, record).encode(), signature.encode("utf-8", "replace")):
                return False
            made_for, made = json.loads(urlsafe_b64decode(content + "=" * (-len(content) % 4)))
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[token] = _Known(made_for, made, bound)
        return bool(known.user == user and self._clock.seconds() < known.made + LIFETIME)

    def _signature(self, content: str, record: Mapping[str, Any]) -> str:
        # A user without a password is told by the time at which the account was made.
        bound = [record.get("pwhash"), record.get("created")]
        signed = json.dumps([content, *bound]).encode()
        return _encoded(hmac.digest(self._key, signed, "sha256"))


def is_login(secret: str) -> bool:
    """Whether a secret has the form of a login token; then it is not tried as a password."""
    return secret.startswith(PREFIX) and secret.count(".") == 2


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def own_secret(place: Path) -> bytes:
    """The key in the state directory, made if there is none. Blocks.

    :raises BadInput: it cannot be read or made, or is not fit for use.
    """
    try:
        if not place.exists():
            part = place.with_name(place.name + ".part")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
                stream.write(token_bytes(64))
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(place)
    except OSError as error:
        raise BadInput(f"{place}: cannot be made: {error.strerror}") from None
    return read_secret(place, alone=False)


def read_secret(place: Path, alone: bool = True) -> bytes:
    """A key from a file; every byte counts, also a line feed at the end (contract devpi 2.9). Blocks.

    :param alone: whether its directory must be one that nobody else can write to.
    :raises BadInput: it cannot be read, others can read or replace it, or it is easy to guess.
    """
    try:
        mode = place.stat().st_mode
        above = place.resolve().parent.stat().st_mode
        secret = place.read_bytes()
    except OSError as error:
        raise BadInput(f"secret_file = {str(place)!r}: cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadInput(f"secret_file = {str(place)!r}: expected a file of mode 0600, not {stat.S_IMODE(mode):04o}")
    if alone and above & (stat.S_IWGRP | stat.S_IWOTH) and not above & stat.S_ISVTX:
        raise BadInput(f"secret_file = {str(place)!r}: expected in a directory that only its owner can write to")
    if len(secret) < SHORTEST_SECRET or len(set(secret)) < LEAST_VARIETY:
        raise BadInput(
            f"secret_file = {str(place)!r}: expected at least {SHORTEST_SECRET} bytes, "
            f"{LEAST_VARIETY} of them different"
        )
    return secret
