"""Who is asking: the one question that web asks about credentials."""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from pypicache.accounts.api_tokens import ApiTokens, is_like_token, is_token
from pypicache.accounts.credentials import Credentials
from pypicache.accounts.logins import LIFETIME, Logins, is_login
from pypicache.accounts.passwords import Failures, Passwords
from pypicache.core.access import NOBODY, Caller
from pypicache.core.errors import NeedsLogin
from pypicache.ledger.state import State
from pypicache.tasks import Once

REMEMBERED = 300  # seconds for which a password that was checked is not checked again
MOST_REMEMBERED = 10_000


@frozen
class _Checked:
    pwhash: str  # that it was checked against: a new one makes this worthless
    fits: bool
    until: float  # seconds


class Accounts:
    """Tells the caller by the credentials of a request.

    Passwords that were checked, right or wrong, are remembered for some minutes by a keyed digest, because tools send
    them with every request.
    """

    def __init__(
        self, state: State, passwords: Passwords, logins: Logins, tokens: ApiTokens, clock: IReactorTime
    ) -> None:
        self.passwords = passwords
        self.logins = logins
        self.tokens = tokens
        self._state = state
        self._clock = clock
        self._failures = Failures(clock)
        self._key = token_bytes(32)
        self._checked: dict[bytes, _Checked] = {}
        self._under_way: Once[tuple[bytes, str], bool] = Once()

    async def caller(self, credentials: Credentials) -> Caller:
        """Who sent these credentials; nobody if they are wrong (contract devpi 2.1).

        For an API token that is not good, nobody is given the reason (contract devpi-features J).

        :raises TooMany: they cannot be checked now; after a pause they can.
        """
        user, secret = credentials.user, credentials.secret
        if is_token(secret):
            return self.tokens.caller(secret, user)
        nobody = self.tokens.caller(secret, user) if is_like_token(secret) else NOBODY
        record = self._state.users.get(user)
        if record is None or credentials.bearer:
            return nobody  # at no cost: the names of users are no secret
        if is_login(secret):
            return Caller(user=user) if self.logins.fits(secret, user, record) else NOBODY
        return Caller(user=user) if await self._knows(credentials) else nobody

    def caller_at_hand(self, credentials: Credentials) -> Caller | None:
        """Who sent good credentials; ``None`` if they are not, or if telling takes more than a look."""
        user, secret = credentials.user, credentials.secret
        if is_token(secret):
            caller = self.tokens.caller(secret, user)
            return caller if caller.unfit is None else None
        record = self._state.users.get(user)
        if record is None or credentials.bearer or not secret:
            return None
        if is_login(secret):
            return Caller(user=user) if self.logins.fits(secret, user, record) else None
        pwhash = self._hash(user)
        checked = None if pwhash is None else self._remembered(credentials, pwhash)
        return Caller(user=user) if checked is not None and checked.fits else None

    async def log_in(self, credentials: Credentials) -> dict[str, object]:
        """A login token for a password, as the devpi client stores it (contract devpi 2.2).

        :raises NeedsLogin: it is not the user's password.
        :raises TooMany: it cannot be checked now; after a pause it can.
        """
        if credentials.user not in self._state.users or not await self._knows(credentials):
            raise NeedsLogin(f"user {credentials.user!r} could not be authenticated", challenge=False)
        return self.proof(credentials.user)

    def proof(self, user: str) -> dict[str, object]:
        """A login token and for how many seconds it is good."""
        return {"password": self.logins.make(user, self._state.users[user]), "expiration": LIFETIME}

    async def _knows(self, credentials: Credentials) -> bool:
        """Whether somebody knows a user's password.

        The empty one is known to everybody, so it counts on this machine only.
        """
        pwhash = self._hash(credentials.user)
        if not credentials.secret and not credentials.nearby:
            return False
        if pwhash is None:
            return not credentials.secret
        checked = self._remembered(credentials, pwhash)
        if checked is not None:
            return checked.fits
        key = self._digest(credentials)
        fits = await self._under_way.start((key, pwhash), lambda: self._check(credentials, key, pwhash)).join()
        return fits and self._hash(credentials.user) == pwhash

    def _remembered(self, credentials: Credentials, pwhash: str) -> _Checked | None:
        checked = self._checked.get(self._digest(credentials))
        good = checked is not None and checked.pwhash == pwhash and self._clock.seconds() < checked.until
        return checked if good else None

    async def _check(self, credentials: Credentials, key: bytes, pwhash: str) -> bool:
        who = (credentials.address, credentials.user)
        self._failures.check(*who)
        fits = await self.passwords.fits(pwhash, credentials.secret, lambda: self._failures.check(*who))
        (self._failures.clear if fits else self._failures.note)(*who)
        if len(self._checked) >= MOST_REMEMBERED:
            self._checked.clear()
        self._checked[key] = _Checked(pwhash, fits, self._clock.seconds() + REMEMBERED)
        return fits

    def _hash(self, user: str) -> str | None:
        found = self._state.users.get(user, {}).get("pwhash")
        return None if found is None else str(found)

    def _digest(self, credentials: Credentials) -> bytes:
        told = f"{len(credentials.user)} {credentials.user} {credentials.secret}"
        return blake2b(told.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()
