"""The ``pypicache`` command: serve, config, status, fsck, accounts, yanking. Exit code 0, or 1 and a line on stderr."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from base64 import b64encode
from collections.abc import Mapping, Sequence
from getpass import getpass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from time import time
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from pypicache import __version__
from pypicache.accounts.api_tokens import ACTIONS, SHORT_ACTIONS
from pypicache.core.errors import BadInput
from pypicache.core.model import index_name
from pypicache.settings import HOST, KEYS, PORT, Settings, load
from pypicache.settings_text import compared, effective, example
from pypicache.settings_values import public_url
from pypicache.status_text import describe
from pypicache.tap import run

HOUR = 3600  # seconds
PATIENCE = 10  # seconds for an answer of the daemon


class _Parser(ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def __init__(self, **more: Any) -> None:
        # An abbreviation that is clear today is ambiguous when the next flag is added.
        super().__init__(**more, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; --help lists what there is")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: of the command line, without the program's name; those of this process by default.
    :return: the exit code.
    """
    try:
        chosen = _parser().parse_args(arguments)
        return int(chosen.run(chosen))
    except BadInput as error:
        print(f"pypicache: {error}", file=sys.stderr)
        return 1


def _parser() -> ArgumentParser:
    """The command line; the flags of the settings are those of their declarations."""
    parser = _Parser(prog="pypicache", description="A cache and private index for Python packages.")
    parser.add_argument("--version", action="version", version=f"pypicache {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_Parser)

    serving = commands.add_parser("serve", help="run the daemon in the foreground, with its log on stdout")
    _add_settings(serving)
    serving.set_defaults(run=_serve)

    showing = commands.add_parser(
        "config", help="print the settings in effect, where each comes from, and what clients changed"
    )
    _add_settings(showing)
    showing.add_argument("--example", action="store_true", help="print a commented file with the defaults instead")
    showing.set_defaults(run=_config)

    asking = commands.add_parser("status", help="print how a running daemon is doing")
    asking.add_argument("-c", "--config", metavar="FILE", help="the configuration file, for the address")
    asking.add_argument("--url", help="the address of the daemon")
    asking.set_defaults(run=_status)

    verifying = commands.add_parser("fsck", help="read all files of private indexes, and print what is wrong with them")
    _add_settings(verifying)
    verifying.add_argument(
        "--remove", action="store_true", help="remove files that have been in no index for more than an hour"
    )
    verifying.set_defaults(run=_verify)

    tokens = commands.add_parser("token", help="make an API token for a user").add_subparsers(
        required=True, metavar="COMMAND", dest="token_command", parser_class=_Parser
    )
    making = tokens.add_parser("create", help="print a new API token; it is not shown again")
    _add_account(making)
    making.add_argument("--index", action="append", metavar="USER/INDEX", help="good for this index, not for all")
    making.add_argument("--project", action="append", metavar="NAME", help="good for this project, not for all")
    making.add_argument(
        "--verb", action="append", choices=sorted({*ACTIONS, *SHORT_ACTIONS}), help="good for this, not for everything"
    )
    making.add_argument("--days", type=int, metavar="N", help="good for so many days [default: 365]")
    making.set_defaults(run=_make_token)

    for name, does in (("yank", "let installers pass over a release"), ("unyank", "take a yank back")):
        yanking = commands.add_parser(name, help=f"{does}, on a private index")
        yanking.add_argument("index", metavar="USER/INDEX", help="the index")
        yanking.add_argument("project", metavar="PROJECT", help="the project")
        yanking.add_argument("version", metavar="VERSION", help="the version")
        yanking.add_argument("--login", metavar="NAME", help="log in as this user [default: USER]")
        yanking.add_argument("-c", "--config", metavar="FILE", help="the configuration file, for the address")
        yanking.add_argument("--url", help="the address of the daemon")
        if name == "yank":
            yanking.add_argument("--reason", metavar="TEXT", help="what installers tell")
        yanking.set_defaults(run=_yank)

    changing = commands.add_parser("passwd", help="change the password of a user")
    _add_account(changing)
    changing.set_defaults(run=_change_password)
    return parser


def _add_account(parser: ArgumentParser) -> None:
    """What the commands for a user's account have in common."""
    parser.add_argument("user", metavar="USER", help="whose account it is")
    parser.add_argument("--login", metavar="NAME", help="log in as this user, such as root [default: USER]")
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file, for the address")
    parser.add_argument("--url", help="the address of the daemon")


def _add_settings(parser: ArgumentParser) -> None:
    """The flags of all settings."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration file")
    parser.add_argument("--host", help=f"listen on this address, instead of --listen [default: {HOST}]")
    parser.add_argument("--port", help=f"listen on this port, instead of --listen [default: {PORT}]")
    for key in KEYS:
        explanation = key.help.replace("%", "%%")
        for flag in key.flags:
            if key.is_switch:
                parser.add_argument(f"--{flag}", dest=flag, action="store_true", help=explanation)
            elif key.is_list:
                parser.add_argument(f"--{flag}", dest=flag, action="append", metavar="PLACE", help=explanation)
            else:
                parser.add_argument(f"--{flag}", dest=flag, metavar="VALUE", help=explanation)


def _settings(chosen: Namespace) -> Settings:
    """The settings in effect for a command line."""
    names = {"host", "port", *(flag for key in KEYS for flag in key.flags)}
    flags = {name: value for name, value in vars(chosen).items() if name in names}
    return load(flags, os.environ, Path(chosen.config) if chosen.config else None)


def _serve(chosen: Namespace) -> int:
    run(_settings(chosen))
    return 0


def _config(chosen: Namespace) -> int:
    if chosen.example:
        print(example(), end="")
        return 0
    settings = _settings(chosen)
    print(effective(settings), compared(settings), sep="\n", end="")
    return 0


def _status(chosen: Namespace) -> int:
    print(describe(ask(f"{_url(chosen)}/+status")))
    return 0


def _verify(chosen: Namespace) -> int:
    """Print each file that is not what an index says of it, and each that is in no index; 1 if any is not right."""
    from twisted.internet.defer import maybeDeferred

    from pypicache.ledger.ledger import Ledger
    from pypicache.store.local import Shelf
    from pypicache.work.strays import find, removal
    from pypicache.work.verifying import faults

    settings = _settings(chosen)
    if not (settings.state / "uuid").exists():
        raise BadInput(f"state = {str(settings.state)!r}: expected the state directory of a daemon")
    ledger, shelf = Ledger(settings.database_url, maybeDeferred, maybeDeferred), Shelf(settings.state)
    ledger.open(settings.state / "backups")
    wrong = 0
    for sentence in faults(ledger, shelf):
        print(sentence)
        wrong += 1
    strays = find(ledger, shelf)
    for stray in strays:
        print(f"{stray.key}: is in no index ({stray.size} bytes)")
    removed = 0
    for stray in strays if chosen.remove else ():
        removed += ledger.change_now(removal(shelf, [stray], time() - HOUR))[1]
    ledger.close()
    print(f"{wrong} files are not what was uploaded, {len(strays)} are in no index, {removed} of these were removed")
    return 1 if wrong else 0


def _make_token(chosen: Namespace) -> int:
    """Print a new API token."""
    if chosen.days is not None and chosen.days < 1:
        raise BadInput(f"--days = {chosen.days}: expected at least 1")
    limits = {"indexes": chosen.index, "projects": chosen.project, "allowed": chosen.verb}
    asked: dict[str, object] = {key: value for key, value in limits.items() if value}
    if chosen.days is not None:
        asked["expires"] = time() + chosen.days * 86_400
    url = _url(chosen)
    made = tell(url, f"/{quote(chosen.user)}/+token-create", "POST", asked, _login(url, chosen))
    print(made["token"])
    return 0


def _change_password(chosen: Namespace) -> int:
    """Ask for a new password, twice at a terminal."""
    url = _url(chosen)
    login = _login(url, chosen)
    new = _secret(f"New password of {chosen.user}: ")
    if sys.stdin.isatty() and _secret("Once more: ") != new:
        raise BadInput("these are two different passwords; nothing was changed")
    tell(url, f"/{quote(chosen.user)}", "PATCH", {"password": new}, login)
    return 0


def _yank(chosen: Namespace) -> int:
    """Yank a release, or take that back; its files are printed."""
    chosen.user = index_name(chosen.index).partition("/")[0]
    url = _url(chosen)
    path = "/".join(quote(part, safe="@") for part in (*chosen.index.split("/"), chosen.project, chosen.version))
    asked: dict[str, object] = {"reason": chosen.reason} if getattr(chosen, "reason", None) else {}
    done = tell(url, f"/{path}/+{chosen.command}", "POST", asked, _login(url, chosen))
    print("\n".join(done["files"]))
    return 0


def _login(url: str, chosen: Namespace) -> Mapping[str, str]:
    """The header of somebody who is logged in; the password is asked for."""
    user = chosen.login or chosen.user
    asked = {"user": user, "password": _secret(f"Password of {user}: ")}
    secret = tell(url, "/+login", "POST", asked)["password"]
    return {"X-Devpi-Auth": b64encode(f"{user}:{secret}".encode()).decode()}


def _secret(prompt: str) -> str:
    """A password from the terminal, or a line of the input."""
    return getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _url(chosen: Namespace) -> str:
    """The address of the daemon that a command is about."""
    return (public_url("--url", chosen.url) if chosen.url else None) or _own_url(_settings(chosen))


def _own_url(settings: Settings) -> str:
    """Where a daemon with these settings answers on this machine.

    :raises BadInput: only its proxy, or somebody who reads its log, can know.
    """
    host, port = settings.address
    if not port:
        raise BadInput("--url is missing: expected the address of the daemon, because it listens on no fixed port")
    host = {"*": HOST, "::": "::1", "0.0.0.0": HOST}.get(host, host)  # noqa: S104  # compared with, not bound to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ask(url: str) -> Mapping[str, object]:
    """The ``result`` of a JSON answer of the daemon (contract devpi 1.3); no proxy is used.

    :raises BadInput: there is no answer, or another one.
    """
    status, answer = _exchange(url, "GET", None, {})
    if status != 200 or not isinstance(answer.get("result"), dict):
        raise BadInput(f"{url}: answered {status}, not with the status of pypicache")
    result: Mapping[str, object] = answer["result"]
    return result


def tell(
    url: str, path: str, method: str, content: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """Send JSON to the daemon; the ``result`` of its answer.

    :raises BadInput: it does not do it, with the reason that it gives.
    """
    status, answer = _exchange(url + path, method, content, headers or {})
    result = answer.get("result")
    if status not in {200, 201} or not isinstance(result, dict):
        raise BadInput(f"{url}: {answer.get('message') or f'answered {status}'}")
    return result


def _exchange(
    url: str, method: str, content: Mapping[str, object] | None, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, Any]]:
    """One request: the status, and the JSON object of the answer, which is empty if there is none."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    body = None if content is None else json.dumps(content)
    named = {"Accept": "application/json", **({} if body is None else {"Content-Type": "application/json"}), **headers}
    try:
        connection.request(method, parts.path, body, named)
        response = connection.getresponse()
        said = response.read()
    except (OSError, HTTPException) as error:
        raise BadInput(
            f"{url}: no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        ) from None
    finally:
        connection.close()
    try:
        answer = json.loads(said)
    except ValueError:
        answer = {}
    return response.status, answer if isinstance(answer, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
