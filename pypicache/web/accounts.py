"""Users, logins and API tokens on the wire (contract devpi 2 and 6, contract devpi-features J)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import evolve
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from pypicache.accounts.api_tokens import Limits
from pypicache.accounts.credentials import Credentials
from pypicache.accounts.users import Users
from pypicache.core.access import Caller, Verb
from pypicache.core.changes import TokenGone
from pypicache.core.errors import BadInput, Denied, NotFound
from pypicache.core.outside import path_of
from pypicache.index.catalog import Catalog
from pypicache.ledger.ledger import Decision, Ledger, all_tokens, user_record
from pypicache.web.answers import answer, envelope, header, keep_private, message_answer
from pypicache.web.bodies import json_of
from pypicache.web.callers import Callers, client_address, is_nearby
from pypicache.web.failures import failed
from pypicache.web.places import outside_url
from pypicache.web.segments import application

READ = ["GET", "HEAD"]


class AccountsWire:
    """The addresses of accounts.

    :param knows: whether a method and a path lead anywhere.
    """

    app = application()

    def __init__(
        self,
        callers: Callers,
        users: Users,
        catalog: Catalog,
        ledger: Ledger,
        clock: IReactorTime,
        outside_url: str | None,
        knows: Callable[[str, str], bool],
    ) -> None:
        self.callers = callers
        self.accounts = callers.accounts
        self.users = users
        self.catalog = catalog
        self.ledger = ledger
        self.clock = clock
        self.outside_url = outside_url
        self.knows = knows

    # -- logging in ------------------------------------------------------------------------------------------------

    @app.route("/+login", methods=["POST"])
    async def login(self, request: Request) -> None:
        """A token for a password (contract devpi 2.2)."""
        keep_private(request)
        asked = _object(request)
        user, password = asked.get("user"), asked.get("password")
        if not isinstance(user, str) or not isinstance(password, str):
            raise BadInput("Bad request: no user/password specified")
        given = Credentials(user=user, secret=password, address=client_address(request), nearby=is_nearby(request))
        proof = await self.accounts.log_in(given)
        envelope(request, "proxyauth", proof, message="login successful")

    @app.route("/+authcheck", methods=READ)
    async def check(self, request: Request) -> None:
        """Whether nginx may pass on a request (contract devpi 2.8)."""
        target = urlsplit(header(request, "x-original-uri") or request.uri.decode("latin-1")).path
        path = unquote(target.removeprefix(path_of(outside_url(request, self.outside_url))))
        parts = [part for part in path.split("/") if part]
        method = header(request, "x-original-method") or ("POST" if parts == ["+login"] else "GET")
        if not self.knows(method, path):
            raise Denied("there is nothing at this address")
        spec = self.callers.spec("/".join(parts[:2]))
        if spec is not None and parts[-1] != "+api":
            await self.callers.reader(request, spec, conceal=False)  # nginx knows no other refusal than 401 and 403
        answer(request, b"", None, headers={"cache-control": "no-store"})

    # -- users -----------------------------------------------------------------------------------------------------

    @app.route("/<user>/", methods=["PUT"])
    @app.route("/<user>", methods=["PUT"])
    async def create(self, request: Request, user: str) -> None:
        """Make a user."""
        caller = await self.callers.of(request)
        self.callers.require_account(caller, user, Verb.USER_CREATE, f"no permission to create user {user}")
        await self.users.create(user, _object(request))
        envelope(request, "userconfig", {**self.catalog.user(user), "indexes": {}}, code=201)

    @app.route("/<user>/", methods=["PATCH"])
    @app.route("/<user>", methods=["PATCH"])
    async def modify(self, request: Request, user: str) -> None:
        """Change a user; a new password is answered with a new login token."""
        keep_private(request)
        asked = _object(request)
        caller = await self.callers.of(request)
        if set(asked) == {"password"}:
            refusal = f"no permission to change password for user {user}"
            self.callers.require_account(caller, user, Verb.USER_PASSWORD, refusal)
        else:
            self.callers.require_account(caller, user, Verb.USER_MODIFY, f"no permission to modify user {user}")
        await self.users.modify(user, asked)
        if "password" in asked:
            envelope(request, "userpassword", self.accounts.proof(user), message="user updated, new proxy auth")
        else:
            message_answer(request, "user updated")

    @app.route("/<user>/", methods=["DELETE"])
    @app.route("/<user>", methods=["DELETE"])
    async def delete(self, request: Request, user: str) -> None:
        """Delete a user, with all indexes."""
        caller = await self.callers.of(request)
        self.callers.require_account(caller, user, Verb.USER_DELETE, f"no permission to delete user {user}")
        await self.users.delete(user)
        message_answer(request, f"user {user!r} deleted")

    # -- API tokens ------------------------------------------------------------------------------------------------

    @app.route("/<user>/+token-create", methods=["POST"])
    async def create_token(self, request: Request, user: str) -> None:
        """Make an API token; its text is told this once."""
        caller = await self._for_tokens(request, user)
        now = self.clock.seconds()
        limits = Limits.read(_object(request), now)
        if not self.callers.may_make_lasting_tokens(caller):
            limits = evolve(limits, expires=limits.within_a_year(now))
        text, saved = self.accounts.tokens.make(user, limits)

        def decide(connection: Any) -> Decision[None]:
            if user_record(connection, user) is None:
                raise NotFound(f"no user {user!r}")
            return Decision([saved], None)

        await self.ledger.change(decide)
        shown = self.accounts.tokens.of_user(user)[saved.id]
        envelope(request, "token-info", {"token": text, "id": saved.id, "user": user, **shown})

    @app.route("/<user>/+tokens", methods=READ)
    async def tokens(self, request: Request, user: str) -> None:
        """A user's API tokens and what they are limited to."""
        await self._for_tokens(request, user)
        envelope(request, "tokens-info", {"user": user, "tokens": self.accounts.tokens.of_user(user)})

    @app.route("/<user>/+tokens/<id_>", methods=["DELETE"])
    async def delete_token(self, request: Request, user: str, id_: str) -> None:
        """Delete an API token; from now on it is worth nothing."""
        await self._for_tokens(request, user)

        def decide(connection: Any) -> Decision[None]:
            if all_tokens(connection).get(id_, ("",))[0] != user:
                raise NotFound(f"user {user!r} has no token {id_!r}")
            return Decision([TokenGone(id=id_)], None)

        await self.ledger.change(decide)
        message_answer(request, f"token {id_!r} deleted")

    async def _for_tokens(self, request: Request, user: str) -> Caller:
        keep_private(request)
        caller = await self.callers.of(request)
        self.callers.require_account(caller, user, Verb.TOKENS, f"no permission to manage tokens of user {user}")
        self.catalog.user(user)  # or there is none
        return caller

    app.handle_errors(Exception)(failed)  # type: ignore[arg-type]  # an answer that is written returns nothing


def _object(request: Request) -> Mapping[str, Any]:
    """The body of a request, which must be a JSON object; its values come from outside."""
    asked = json_of(request)
    if not isinstance(asked, dict):
        raise BadInput("Bad request: expected a JSON object")
    return asked
