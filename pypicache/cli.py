"""The ``pypicache`` command: serve, config, status. Exit code 0, or 1 with one line on stderr."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pypicache import __version__
from pypicache.core.errors import BadInput
from pypicache.settings import HOST, KEYS, PORT, Settings, load
from pypicache.settings_text import effective, example
from pypicache.settings_values import public_url
from pypicache.status_text import describe
from pypicache.tap import run

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

    showing = commands.add_parser("config", help="print the settings in effect, and where each comes from")
    _add_settings(showing)
    showing.add_argument("--example", action="store_true", help="print a commented file with the defaults instead")
    showing.set_defaults(run=_config)

    asking = commands.add_parser("status", help="print how a running daemon is doing")
    asking.add_argument("-c", "--config", metavar="FILE", help="the configuration file, for the address")
    asking.add_argument("--url", help="the address of the daemon")
    asking.set_defaults(run=_status)
    return parser


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
    print(example() if chosen.example else effective(_settings(chosen)), end="")
    return 0


def _status(chosen: Namespace) -> int:
    url = public_url("--url", chosen.url) if chosen.url else _own_url(_settings(chosen))
    print(describe(ask(f"{url}/+status")))
    return 0


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
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        raise BadInput(
            f"{url}: no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        ) from None
    finally:
        connection.close()
    try:
        answer = json.loads(body) if response.status == 200 else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
        raise BadInput(f"{url}: answered {response.status}, not with the status of pypicache")
    result: Mapping[str, object] = answer["result"]
    return result


if __name__ == "__main__":
    sys.exit(main())
