"""How users and indexes differ from what the configuration declares, because clients changed them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import frozen

from pypicache.core.errors import BadInput
from pypicache.ledger.ledger import all_indexes, all_users, fact
from pypicache.ledger.state import Spec, spec_of

SHOWN = ("email", "title", "description", "custom_data")  # of users


@frozen(kw_only=True)
class Drift:
    """One difference; nothing in it is secret."""

    kind: str  # "users", "indexes"
    name: str
    option: str | None = None  # None: it is about the whole thing
    declared: object = None  # None: unset
    actual: object = None  # None: unset
    remark: str = ""  # in place of the values, or about them


def drift(connection: Any, users: Mapping[str, Mapping[str, Any]], specs: Iterable[Spec]) -> list[Drift]:
    """What differs between declarations and the truth; a function of a connection.

    :param users: as :func:`pypicache.work.declare.declare` takes them.
    """
    before: dict[str, Any] = json.loads(fact(connection, "declared") or "{}")
    have_users, have_indexes = all_users(connection), all_indexes(connection)
    found: list[Drift] = []
    for spec in specs:
        was, have = before.get("indexes", {}).get(spec.name), have_indexes.get(spec.name)
        if have is None:
            found.append(_missing("indexes", spec.name, was is not None))
        else:
            pending = was is not None and have == was != spec.stored()
            found += _of_index(spec, have, "until the next start" if pending else "")
    for name, record in users.items():
        if name in have_users:
            found += _of_user(name, record, have_users[name])
        else:
            found.append(_missing("users", name, name in before.get("users", {})))
    return found


def _missing(kind: str, name: str, declared_before: bool) -> Drift:
    remark = "was deleted by a client" if declared_before else "will be made at the next start"
    return Drift(kind=kind, name=name, remark=remark)


def _of_index(spec: Spec, options: Mapping[str, Any], remark: str) -> Iterator[Drift]:
    try:
        now = spec_of(spec.name, options)
    except BadInput as error:
        yield Drift(kind="indexes", name=spec.name, remark=f"cannot be used: {error}")
        return
    declared, actual = spec.shown(), now.shown()
    if declared["type"] != actual["type"]:  # then all others differ too
        declared, actual = {"type": declared["type"]}, {"type": actual["type"]}
    for key in dict.fromkeys((*declared, *actual)):
        if declared.get(key) != actual.get(key):
            yield Drift(
                kind="indexes", name=spec.name, option=key, declared=declared.get(key), actual=actual.get(key),
                remark=remark,
            )  # fmt: skip
    url, present = spec.stored().get("mirror_url"), now.stored().get("mirror_url")
    if url != present and declared.get("mirror_url") == actual.get("mirror_url") is not None:
        yield Drift(kind="indexes", name=spec.name, option="mirror_url", remark="has other credentials by now")


def _of_user(name: str, declared: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[Drift]:
    for key in SHOWN:
        if (declared.get(key) or None) != (record.get(key) or None):
            yield Drift(
                kind="users", name=name, option=key, declared=declared.get(key) or None, actual=record.get(key) or None
            )
    if not _same_password(declared, record.get("pwhash")):
        option = "pwhash" if "pwhash" in declared else "password"
        yield Drift(kind="users", name=name, option=option, remark="is another one by now")


def _same_password(declared: Mapping[str, Any], pwhash: str | None) -> bool:
    if "pwhash" in declared:
        return (declared["pwhash"] or None) == pwhash
    password = declared.get("password")
    if not password or pwhash is None:
        return not password and pwhash is None
    try:
        return PasswordHasher().verify(pwhash, password)
    except (VerificationError, InvalidHashError):
        return False
