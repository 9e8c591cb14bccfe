"""Who sends a request, and whether they may: the only place where web asks about rights."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import evolve
from twisted.web.server import Request

from pypicache.accounts.accounts import Accounts
from pypicache.accounts.credentials import Credentials
from pypicache.core.access import NOBODY, ROOT, Caller, IndexAccess, Rules, Verb
from pypicache.core.errors import Denied, NeedsLogin, NotFound
from pypicache.core.stage import StageSpec
from pypicache.index.layered import resolution_order
from pypicache.ledger.state import Spec, State
from pypicache.web.answers import header, keep_private
from pypicache.web.asked import Asked

PROXY_HEADERS = ("forwarded", "x-real-ip", "x-outside-url", "via")
_SCHEME = re.compile(r"\s*(basic|bearer|token)\s+(\S+)\s*", re.ASCII | re.IGNORECASE)

DEEDS = {
    Verb.READ: "read",
    Verb.UPLOAD: "upload to",
    Verb.TOXRESULT_UPLOAD: "upload tox results to",
    Verb.DELETE: "delete anything in",
    Verb.INDEX_CREATE: "create",
    Verb.INDEX_MODIFY: "modify",
    Verb.INDEX_DELETE: "delete",
}


class Callers:
    """Tells who sends a request, and refuses what they may not do."""

    def __init__(self, accounts: Accounts, rules: Rules, state: State) -> None:
        self.accounts = accounts
        self.rules = rules
        self._state = state
        self._open: dict[str, bool] = {}  # index -> whether anybody may read it
        self._opened = state.generation  # of the accounts and indexes for which that holds

    async def of(self, request: Request) -> Caller:
        """Who sends a request; wrong credentials are those of nobody (contract devpi 2.1)."""
        said = _said(request)
        if said is None:
            return NOBODY
        found = self.accounts.caller_at_hand(said)
        return await self.accounts.caller(_complete(said, request)) if found is None else found

    def allows(self, caller: Caller, access: IndexAccess, verb: Verb, project: str | None = None) -> bool:
        """Whether the caller may do this with an index or in it; for reading ask :meth:`may_read`."""
        if verb is Verb.TOXRESULT_UPLOAD and not self._sees(caller, access):
            return False  # by default everybody may send results, but not to where they cannot look
        return self.rules.allows(access, caller, verb, project)

    def _sees(self, caller: Caller, access: IndexAccess) -> bool:
        """Whether a user may read an index, whatever the token in use is limited to."""
        return self.rules.allows(access, evolve(caller, scope=None), Verb.READ)

    def require(
        self, caller: Caller, access: IndexAccess, verb: Verb, project: str | None = None, *, challenge: bool = True
    ) -> None:
        """Refuse what the caller may not do with an index or in it.

        :param challenge: whether somebody who did not log in, and would upload, is told how to.
        :raises NotFound: they may not even know of the index.
        :raises NeedsLogin: nobody logged in, and uploading or reading needs it.
        :raises Denied: the caller may not, or sent an API token that is not good, or nobody logged in (contract devpi
            1.4).
        """
        if not self.allows(caller, access, verb, project):
            spec = self.spec(access.name)
            if spec is not None and spec.conceal and not self._sees(caller, access):
                raise NotFound(f"The stage {access.name} could not be found.")
            sentence = f"user {caller.user} cannot {DEEDS.get(verb, verb)} {access.name!r}"
            require_good_token(caller, sentence)
            if caller.user is None and verb in {Verb.READ, Verb.UPLOAD}:
                raise NeedsLogin(sentence, challenge)
            raise Denied(sentence)

    # -- reading ---------------------------------------------------------------------------------------------------

    def may_read(self, caller: Caller, spec: Spec, project: str | None = None) -> bool:
        """Whether the caller may see what an index lists: it and everything below it.

        What anybody may read can be read with any credentials. An API token that is limited to an index reads what is
        below that as well, because that is where the files are.
        """
        return all(
            self.rules.allows(access, NOBODY, Verb.READ)
            or self.rules.allows(access, self._widened(caller), Verb.READ, project)
            for access in self._accesses(spec)
        )

    async def reader(self, request: Request, spec: Spec, project: str | None = None, *, conceal: bool = True) -> Caller:
        """Who sends a request that reads an index; refused if they may not.

        An answer that not everybody may see is marked, so that caches that are shared do not keep it.

        :raises NotFound: they may not, and the index is concealed.
        :raises NeedsLogin: nobody logged in; installers ask for credentials then.
        :raises Denied: they may not.
        """
        if self._is_open(spec):
            return NOBODY
        keep_private(request)
        caller = await self.of(request)
        if self.may_read(caller, spec, project):
            return caller
        if conceal and spec.conceal and not self.rules.allows(spec.access, self._widened(caller), Verb.READ, project):
            raise NotFound(f"The stage {spec.name} could not be found.")
        sentence = f"user {caller.user} cannot read {spec.name!r}"
        require_good_token(caller, sentence)
        # The client of devpi understands 403, and takes it for a hint to log in (contract devpi 2.8 and 19.2).
        if caller.user is None and "devpi-client" not in (header(request, "user-agent") or ""):
            raise NeedsLogin(sentence)
        raise Denied(sentence)

    def at_hand(self, asked: Asked, spec: Spec, project: str) -> bool | None:
        """Whether what an index lists is to be kept from others than whoever asks.

        :return: ``None`` if they may not read it, or if that cannot be told without waiting.
        """
        if self._is_open(spec):
            return False
        said = read_credentials(asked.devpi_auth, asked.authorization)
        caller = None if said is None else self.accounts.caller_at_hand(said)
        return True if caller is not None and self.may_read(caller, spec, project) else None

    def _is_open(self, spec: Spec) -> bool:
        """Whether anybody may read an index."""
        if self._opened != self._state.generation:
            self._opened = self._state.generation
            self._open.clear()
        if spec.name not in self._open:
            self._open[spec.name] = self.may_read(NOBODY, spec)
        return self._open[spec.name]

    def require_shown(self, caller: Caller, spec: Spec) -> None:
        """Refuse to tell that there is an index.

        :raises NotFound: it is concealed, and the caller may not read it.
        """
        if not self.shows(caller, spec):
            raise NotFound(f"The stage {spec.name} could not be found.")

    def shows(self, caller: Caller, spec: Spec) -> bool:
        """Whether the caller is told that an index exists."""
        return not spec.conceal or self.rules.allows(spec.access, self._widened(caller), Verb.READ)

    def _accesses(self, spec: Spec) -> Sequence[IndexAccess]:
        if not isinstance(spec, StageSpec) or not spec.bases:
            return (spec.access,)
        return [spec.access, *(self._state.specs[name].access for name in self._order(spec.name)[1:])]

    def _order(self, name: str) -> list[str]:
        def below(other: str) -> Sequence[str] | None:
            found = self._state.specs.get(other)
            return None if found is None else found.bases if isinstance(found, StageSpec) else ()

        return resolution_order(name, below)

    def _widened(self, caller: Caller) -> Caller:
        if caller.scope is None or caller.scope.indexes is None:
            return caller
        indexes = frozenset(below for name in caller.scope.indexes for below in self._order(name))
        return evolve(caller, scope=evolve(caller.scope, indexes=indexes))

    def spec(self, name: str) -> Spec | None:
        """The options of an index, if there is one of this full name."""
        return self._state.specs.get(name)

    async def options(self, request: Request, *specs: Spec) -> list[dict[str, object]]:
        """The options of indexes, as far as whoever sends a request may see them."""
        caller = NOBODY
        if any(isinstance(spec, StageSpec) and spec.hooks for spec in specs):
            keep_private(request)
            caller = await self.of(request)
        return [
            {**spec.shown(), **spec.hooks}
            if isinstance(spec, StageSpec) and self.allows(caller, spec.access, Verb.INDEX_MODIFY)
            else spec.shown()
            for spec in specs
        ]

    async def hidden(self, request: Request) -> frozenset[str]:
        """The indexes that whoever sends a request may not read, and is not told of in lists."""
        closed = [spec for spec in self._state.specs.values() if not self.may_read(NOBODY, spec)]
        if not closed:
            return frozenset()
        keep_private(request)
        caller = await self.of(request)
        return frozenset(spec.name for spec in closed if not self.may_read(caller, spec))

    # -- accounts --------------------------------------------------------------------------------------------------

    def require_account(self, caller: Caller, user: str, verb: Verb, sentence: str) -> None:
        """Refuse what the caller may not do with an account.

        :raises Denied: with the sentence.
        """
        if not self.rules.allows_account(user, caller, verb):
            require_good_token(caller, sentence)
            raise Denied(sentence)

    def may_make_lasting_tokens(self, caller: Caller) -> bool:
        """Whether the caller may make API tokens that are good for longer than a year."""
        modifiers = {ROOT} if self.rules.restrict_modify is None else self.rules.restrict_modify
        return not caller.principals.isdisjoint(modifiers)


def require_good_token(caller: Caller, sentence: str) -> None:
    """Say what is wrong with an API token, before somebody is refused who would have sent a good one.

    :param sentence: what they are refused with otherwise.
    :raises Denied: 403, not 401, because to ask for credentials is no help (contract devpi-features J).
    """
    if caller.unfit is not None:
        raise Denied(f"{caller.unfit}: {sentence}")


def credentials(request: Request) -> Credentials | None:
    """What a request says about who sends it, from the first header that can be read (contract devpi 2.1)."""
    said = _said(request)
    return None if said is None else _complete(said, request)


def _said(request: Request) -> Credentials | None:
    return read_credentials(header(request, "x-devpi-auth"), header(request, "authorization"))


def _complete(said: Credentials, request: Request) -> Credentials:
    return evolve(said, address=client_address(request), nearby=is_nearby(request))


def read_credentials(devpi_auth: str | None, authorization: str | None) -> Credentials | None:
    """The credentials in the two headers that may have some; the first that can be read counts (contract devpi 2.1)."""
    if devpi_auth is not None and (pair := _pair(devpi_auth)) is not None:
        return Credentials(user=pair[0], secret=pair[1])
    matched = _SCHEME.fullmatch(authorization or "")
    if matched is None:
        return None
    if matched[1].lower() == "basic":
        pair = _pair(matched[2])
        return None if pair is None else Credentials(user=pair[0], secret=pair[1])
    return Credentials(user="", secret=matched[2], bearer=True)


def _pair(encoded: str) -> tuple[str, str] | None:
    try:
        raw = b64decode(encoded.strip().encode("ascii"), validate=True)
    except (NotBase64, UnicodeEncodeError, ValueError):
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    user, colon, secret = text.partition(":")
    return (user, secret) if colon else None


def client_address(request: Request) -> str:
    """The address of the client, as a proxy on this machine says it; empty if it has none."""
    address = str(getattr(request.getClientAddress(), "host", ""))
    told = header(request, "x-real-ip")
    return told.strip()[:64] if told and (_is_loopback(address) or not address) else address


def is_nearby(request: Request) -> bool:
    """Whether the client is on this machine, and neither a proxy nor a browser speaks for somebody else."""
    named = {name.decode("latin-1").lower() for name, _ in request.requestHeaders.getAllRawHeaders()}
    return (
        _is_loopback(str(getattr(request.getClientAddress(), "host", "")))
        and not any(name.startswith("x-forwarded") or name in PROXY_HEADERS for name in named)
        and not _is_lured(request)
    )


def _is_lured(request: Request) -> bool:
    # A page from anywhere may have its own name lead to this machine, and then ask as if it were ours (DNS rebinding);
    # the name is still in Host.
    browser = header(request, "origin") is not None or (header(request, "user-agent") or "").startswith("Mozilla/")
    try:
        host = urlsplit(f"//{header(request, 'host') or ''}").hostname or ""
    except ValueError:
        return True
    return browser and host != "localhost" and not _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
