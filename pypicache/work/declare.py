"""What the configuration declares: made at the first start; what clients changed since wins over it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from argon2 import PasswordHasher

from pypicache.core.changes import Change, IndexSaved, UserSaved
from pypicache.ledger.ledger import Decision, Ledger, all_indexes, all_users, fact, set_fact
from pypicache.ledger.state import Spec


def hidden(record: Mapping[str, Any]) -> dict[str, Any]:
    """A declared user's record with the hash of the password in its place."""
    given = {key: value for key, value in record.items() if key != "password" and value}
    password = record.get("password")
    return given | ({"pwhash": PasswordHasher().hash(password)} if password else {})


def declare(ledger: Ledger, users: Mapping[str, Mapping[str, Any]], specs: Iterable[Spec]) -> None:
    """Make the declared users and indexes, and take over declarations that were changed. Blocks; for the start.

    A declaration is taken over when it differs from the one of the last start, unless a client has changed the thing
    since then. The owners of declared indexes and ``root`` are made if they are missing.

    :param users: name -> what is declared: ``password`` or ``pwhash``, and what everybody may see.
    """
    declared = {spec.name: spec.stored() for spec in specs}

    def decide(connection: Any) -> Decision[None]:
        before: dict[str, Any] = json.loads(fact(connection, "declared") or "{}")
        have_users, have_indexes = all_users(connection), all_indexes(connection)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changes: list[Change] = []
        owners = {"root", *(name.partition("/")[0] for name in declared)}
        wanted: dict[str, dict[str, Any]] = {owner: {} for owner in sorted(owners)} | {
            name: dict(record) for name, record in users.items()
        }
        for name, record in wanted.items():
            if name not in have_users and name not in before.get("users", {}):
                changes.append(UserSaved(name=name, record={**hidden(record), "created": now}))
        for name, options in declared.items():
            was = before.get("indexes", {}).get(name)
            if options != was and (
                (was is None and name not in have_indexes) or (was is not None and have_indexes.get(name) == was)
            ):
                changes.append(IndexSaved(name=name, options=options))
        told = {"users": dict.fromkeys(wanted, True), "indexes": declared}
        if told != before:
            set_fact(connection, "declared", json.dumps(told))
        return Decision(changes, None)

    recorded, _ = ledger.change_now(decide)
    if recorded is not None:
        ledger.tell(recorded)
