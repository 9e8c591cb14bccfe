"""Who is asking: the one question that web asks about credentials."""

from __future__ import annotations

from pypicache.accounts.credentials import Credentials
from pypicache.core.access import NOBODY, Caller


class Accounts:
    """Tells the caller by the credentials of a request."""

    async def caller(self, credentials: Credentials) -> Caller:
        """Who sent these credentials; nobody if they are wrong (contract devpi 2.1)."""
        return NOBODY
