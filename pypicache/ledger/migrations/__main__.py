"""Brings a database up to date; what to do comes as JSON on stdin: ``database`` (its URL) and ``backups``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from pypicache.core.errors import BadInput
from pypicache.ledger.migrations import upgrade
from pypicache.ledger.migrations.engines import engine_of

if __name__ == "__main__":
    order = json.load(sys.stdin)
    try:
        upgrade(engine_of(order["database"]), Path(order["backups"]))
    except BadInput as error:
        sys.exit(str(error))
    except SQLAlchemyError as error:
        sys.exit(f"the ledger cannot be upgraded, and is as it was: {str(error).splitlines()[0]}")
