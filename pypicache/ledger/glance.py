"""A look at a ledger that a daemon may be using; nothing is changed, made or left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pypicache.core.errors import BadInput
from pypicache.ledger.database import Connection, Database
from pypicache.ledger.schema import REVISION, revision, unusable

T = TypeVar("T")


def glance(url: str, question: Callable[[Connection], T]) -> T | None:
    """Ask a function of a connection that only reads.

    :param url: of the database.
    :return: the answer; ``None`` if there is no ledger yet.
    :raises BadInput: the database cannot be used, or its tables are of another version.
    """
    while True:
        database = Database(url, "mode=ro")
        if database.path is None:
            return _asked(database, question)
        if not _is_there(database.path):
            return None
        if _has_log(database.path):
            return _asked(database, question)
        # Nobody has it open. An ordinary reader would put files beside it, and could not where it must not write.
        answer = _asked(Database(url, "mode=ro&immutable=1"), question)
        if not _has_log(database.path):  # else a daemon was started meanwhile, and may have written
            return answer


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError as error:
        raise BadInput(f"{path}: it cannot be read: {error.strerror}") from error


def _has_log(path: str) -> bool:
    return _is_there(f"{path}-wal")


def _asked(database: Database, question: Callable[[Connection], T]) -> T | None:
    try:
        with database.transaction() as connection:
            if not connection.tables():
                return None
            if revision(connection) != REVISION:
                raise BadInput("the ledger is of another version of this program; its daemon brings it up to date")
            return question(connection)
    except database.errors as error:
        raise unusable(database, error) from error
    finally:
        database.close()
