"""Passwords: hashed with argon2id, a few at a time, and less and less often for who guesses."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeVar

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import frozen
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from pypicache.core.errors import BadInput, TooMany
from pypicache.tasks import InThread, Shared

T = TypeVar("T")

AT_ONCE = 2  # hashes that are computed at the same time; each takes 64 MiB and some 50 ms on four cores
MOST_WAITING = 200  # computations that wait for their turn
LONGEST = 4096  # characters of a password
FREE_FAILURES = 3  # before anybody has to wait
FIRST_WAIT, LONGEST_WAIT = 2, 60  # seconds
FORGOTTEN_AFTER = 900  # seconds without a failure
MOST_REMEMBERED = 10_000

COSTLIEST_MEMORY = 256 * 1024  # KiB
COSTLIEST_TIME = 16
COSTLIEST_PARALLELISM = 16


def check_hash(value: object) -> str:
    """Read a hash that was made elsewhere (contract devpi 2.5).

    :raises BadInput: it is not one of argon2, or each login with it would cost too much.
    """
    try:
        if not isinstance(value, str):
            raise InvalidHashError
        cost = extract_parameters(value)
    except (InvalidHashError, ValueError):
        raise BadInput("pwhash: expected a hash as argon2 writes it, $argon2id$v=19$m=...") from None
    if (
        cost.memory_cost > COSTLIEST_MEMORY
        or cost.time_cost > COSTLIEST_TIME
        or cost.parallelism > COSTLIEST_PARALLELISM
    ):
        raise BadInput(
            f"pwhash: expected at most m={COSTLIEST_MEMORY},t={COSTLIEST_TIME},p={COSTLIEST_PARALLELISM}, "
            "because every login pays for it"
        )
    return value


class Passwords:
    """Computes hashes in threads.

    A computation that was begun is finished whether or not somebody still waits for it, so that clients that come and
    leave cannot make more of them run at once.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._hasher = PasswordHasher(type=Type.ID)
        self._turns = DeferredSemaphore(AT_ONCE)
        self._waiting = 0

    async def hashed(self, password: str) -> str:
        """A hash to store.

        :raises BadInput: the password is too long, or cannot be written as UTF-8.
        :raises TooMany: too many computations wait already.
        """
        if len(password) > LONGEST:
            raise BadInput(f"password: expected at most {LONGEST} characters")
        try:
            password.encode()
        except UnicodeEncodeError:
            raise BadInput("password: expected text") from None
        return await self._run(lambda: None, self._hasher.hash, password)

    async def fits(self, pwhash: str, password: str, permitted: Callable[[], None]) -> bool:
        """Whether a password belongs to a hash.

        :param permitted: asked when the computation's turn has come; raises if it is not to be made any more.
        :raises TooMany: too many computations wait already.
        """
        if len(password) > LONGEST:
            return False
        return await self._run(permitted, self._verify, pwhash, password)

    def _verify(self, pwhash: str, password: str) -> bool:
        try:
            return self._hasher.verify(pwhash, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    async def _run(self, permitted: Callable[[], None], function: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= MOST_WAITING:
            raise TooMany("too many passwords are being checked", 5)

        async def work() -> T:
            await self._turns.acquire()
            try:
                permitted()
                computed: T = await self._in_thread(function, *arguments)
            finally:
                self._turns.release()
                self._waiting -= 1
            return computed

        self._waiting += 1
        return await Shared(work()).join()


@frozen
class _Failed:
    count: int
    last: float  # seconds


class Failures:
    """Who guessed wrong how often, by address and user name: a guess costs the client more than the server."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failed: dict[tuple[str, str], _Failed] = {}

    def check(self, address: str, user: str) -> None:
        """Refuse another guess so soon.

        :raises TooMany: with the time to wait.
        """
        failed = self._failed.get((network(address), user))
        if failed is not None and failed.count >= FREE_FAILURES:
            wait = min(LONGEST_WAIT, FIRST_WAIT ** min(16, failed.count - FREE_FAILURES + 1))
            left = failed.last + wait - self._clock.seconds()
            if left > 0:
                raise TooMany(f"too many failed logins of user {user!r}", left)

    def note(self, address: str, user: str) -> None:
        """Somebody guessed wrong."""
        now = self._clock.seconds()
        key = (network(address), user)
        failed = self._failed.pop(key, None)
        count = 0 if failed is None or now - failed.last > FORGOTTEN_AFTER else failed.count
        if len(self._failed) >= MOST_REMEMBERED:
            del self._failed[next(iter(self._failed))]  # the one that failed longest ago
        self._failed[key] = _Failed(count + 1, now)

    def clear(self, address: str, user: str) -> None:
        """Somebody knew the password."""
        self._failed.pop((network(address), user), None)


def network(address: str) -> str:
    """The part of an address that a client cannot choose: of IPv6 the first 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
