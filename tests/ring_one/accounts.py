"""A daemon with accounts, and clients that come from elsewhere, with credentials of all kinds."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.internet.defer import Deferred

from pypicache.core.changes import IndexSaved, UserSaved
from pypicache.ledger.ledger import Decision
from tests.ring_one.house import Answer, HouseCase

FAR = {"x_forwarded_for": "198.51.100.7"}  # what makes a request come from another machine


def basic(user: str, secret: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"authorization": "Basic " + b64encode(f"{user}:{secret}".encode()).decode()}


def devpi(user: str, secret: str) -> dict[str, str]:
    """The header of the devpi client."""
    return {"x_devpi_auth": b64encode(f"{user}:{secret}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header of a bearer token."""
    return {"authorization": f"Bearer {token}"}


class AccountsCase(HouseCase):
    """Users ``alice`` and ``bob``, whose passwords are ``pw-alice`` and ``pw-bob``; ``root`` has none."""

    def setUp(self) -> None:
        super().setUp()
        for user in ("alice", "bob"):
            self.assertEqual(self.send("PUT", f"/{user}", {"password": f"pw-{user}"}).code, 201)

    def login(self, user: str, password: str | None = None, **headers: str) -> str:
        """A login token."""
        asked = {"user": user, "password": f"pw-{user}" if password is None else password}
        answer = self.send("POST", "/+login", asked, **headers)
        self.assertEqual(answer.code, 200, answer.body)
        return str(answer.json()["result"]["password"])

    def as_(self, user: str, password: str | None = None) -> dict[str, str]:
        """The header of somebody who is logged in."""
        return devpi(user, self.login(user, password))

    def root(self) -> dict[str, str]:
        """The header of ``root``, as long as it has no password."""
        return self.as_("root", "")

    def whoami(self, **headers: str) -> str:
        """Who the daemon takes us for."""
        return str(self.get("/+api", **headers).json()["result"]["authstatus"][1])

    def index(self, name: str, **options: Any) -> None:
        """Make an index as it is recorded."""
        change = IndexSaved(name=name, options={"type": "stage", **options})
        self.successResultOf(_deferred(self.house.ledger.change(lambda _: Decision([change], None))))

    def account(self, name: str, **record: Any) -> None:
        """Make an account as it is recorded."""
        change = UserSaved(name=name, record=record)
        self.successResultOf(_deferred(self.house.ledger.change(lambda _: Decision([change], None))))

    def message(self, answer: Answer) -> str:
        """What the devpi client would print."""
        self.assertEqual(answer.header("content-type"), "application/json")
        return str(answer.json()["message"])


def _deferred(work: Any) -> Any:
    return Deferred.fromCoroutine(work)
