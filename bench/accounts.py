"""What is done once through the servers' own doors, as the devpi client does: logins, users, indexes."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from attrs import frozen

from bench.processes import Failed


@frozen
class Account:
    """A user who is logged in.

    :ivar server: ``http://host:port``.
    :ivar token: what the server gave in exchange for the password.
    """

    server: str
    user: str
    token: str

    @classmethod
    def login(cls, server: str, user: str = "root", password: str = "") -> Account:
        """Exchange a password for a token; root's is empty at first, on both servers.

        :raises Failed: the server refused it.
        :raises OSError: there is nobody.
        """
        answer = _json(server, "POST", "/+login", {"user": user, "password": password}, {})
        return cls(server, user, str(answer["result"]["password"]))

    def put(self, path: str, options: Mapping[str, object]) -> None:
        """Make a user or an index.

        :raises Failed: the server refused it.
        """
        _json(self.server, "PUT", path, options, {"X-Devpi-Auth": self._secret()})

    def basic(self) -> str:
        """The header ``Authorization`` with which twine sends the token in place of a password."""
        return f"Basic {self._secret()}"

    def _secret(self) -> str:
        return base64.b64encode(f"{self.user}:{self.token}".encode()).decode()


def publisher(server: str, name: str = "bench") -> Account:
    """A new user, made together with the index ``{name}/dev``; without bases, so that nobody else is asked."""
    root = Account.login(server)
    root.put(f"/{name}", {"password": f"{name}-123"})
    account = Account.login(server, name, f"{name}-123")
    account.put(f"/{name}/dev", {"type": "stage", "bases": []})
    return account


def _json(
    server: str, method: str, path: str, body: Mapping[str, object], headers: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    try:
        sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        connection.request(method, path, json.dumps(body), sent)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status not in {200, 201}:
        raise Failed(f"{method} {path}: {answer.status} {content[:200]!r}")
    decoded: dict[str, dict[str, object]] = json.loads(content)
    return decoded
