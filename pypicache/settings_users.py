"""The users that a configuration file declares, ``[users.NAME]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pypicache.accounts.passwords import LONGEST, check_hash
from pypicache.core.errors import BadInput
from pypicache.core.model import user_name
from pypicache.settings_values import toml

USER_KEYS = ("password", "pwhash", "email", "title", "description", "custom_data")
SECRET = ("password", "pwhash")


def read_user(name: str, declared: object) -> dict[str, Any]:
    """One declared user, as :func:`pypicache.work.declare.declare` takes it; no sentence has the password in it.

    :raises BadInput: the name or a value cannot be.
    """
    label = f"users.{toml(name)}"
    try:
        user_name(name)
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from None
    if not isinstance(declared, dict):
        raise BadInput(f"{label}: expected a table, [{label}]")
    for key, value in declared.items():
        if key not in USER_KEYS:
            raise BadInput(f"{label}.{key} is not an option of a user; expected one of {', '.join(USER_KEYS)}")
        if key != "custom_data" and not isinstance(value, str):
            raise BadInput(f"{label}.{key}: expected text")
    if "password" in declared and "pwhash" in declared:
        raise BadInput(f"{label}: expected password or pwhash, not both")
    if len(declared.get("password", "")) > LONGEST:
        raise BadInput(f"{label}.password: expected at most {LONGEST} characters")
    if "pwhash" in declared:
        try:
            check_hash(declared["pwhash"])
        except BadInput as error:
            raise BadInput(f"{label}.{error}") from None
    return dict(declared)


def shown_user(record: Mapping[str, Any]) -> dict[str, Any]:
    """A declared user as anybody may see it."""
    return {key: "****" if key in SECRET else value for key, value in record.items()}
