"""How a configured value is read and shown again: sizes, durations, paths, URLs, places to listen on.

Every reader takes how the value is called where it was given, and the value: text as it comes from an environment
variable or a flag, or whatever TOML can express. Each accepts its own result unchanged. All of them raise
:class:`~pypicache.core.errors.BadInput` with one sentence: name, value, what was expected.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from twisted.internet.endpoints import quoteStringArgument, serverFromString

from pypicache.core.access import access_list
from pypicache.core.errors import BadInput
from pypicache.core.spec import boolean, masked

Reader = Callable[[str, object], object]

BACKLOG = 2048  # connections; with Twisted's default of 50 a burst of clients waits for retransmitted SYNs
LONGEST = 100 * 365 * 86400  # seconds

_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-zA-Z]*)", re.ASCII)
_SIZES = {"": 1, "b": 1} | {
    f"{prefix}{infix}b": base**power
    for infix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kmgt", start=1)
}
_DURATIONS = {
    unit: length
    for length, units in (
        (0.001, "ms"),
        (1, " s sec second seconds"),
        (60, "m min minute minutes"),
        (3600, "h hour hours"),
        (86400, "d day days"),
        (604800, "w week weeks"),
    )
    for unit in units.split(" ")
}
_ADDRESS = re.compile(r"(\*|[^:\[\]\s=]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\]):(\d+)", re.ASCII)
_COLON = re.compile(r"(?<!\\):")
_SECRET = re.compile(r"(?<= = )([\[{]?['\"]?)(\w+://)?.*@", re.DOTALL)
_INTERNET = {"tcp": 3, "tcp6": 2, "ssl": 6}  # which argument without a name is the backlog, counted from 1
_SYSTEMD = re.compile(r"systemd:domain=(INET6?|UNIX):(index=\d+|name=[^:=]+)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def _quantity(value: object, units: Mapping[str, float]) -> float | None:
    """A number with or without a unit; ``None`` if it is not one. Integers stay integers."""
    factor: float = 1
    if isinstance(value, str):
        matched = _NUMBER.fullmatch(value.strip())
        if matched is None or matched[2].lower() not in units:
            return None
        factor = units[matched[2].lower()]
        value = float(matched[1]) if "." in matched[1] else int(matched[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        return None
    return value * factor


def size(name: str, value: object) -> int:
    """A number of bytes, at least 1: a whole number, or a text such as ``100 MiB`` (1024) or ``500 MB`` (1000)."""
    quantity = _quantity(value, _SIZES)
    if quantity is None or quantity < 1 or (isinstance(value, float) and not value.is_integer()):
        raise BadInput(
            f'{name} = {value!r}: expected a size of at least one byte such as "100 MiB", "500 MB" or 1048576'
        )
    return int(quantity)


def size_or_unlimited(name: str, value: object) -> int | None:
    """A number of bytes as :func:`size` reads it; ``None`` for ``unlimited`` and 0."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "unlimited"):
        return None
    if _quantity(value, _SIZES) == 0:
        return None
    try:
        return size(name, value)
    except BadInput:
        raise BadInput(
            f'{name} = {value!r}: expected a size such as "50 GiB", "500 MB" or 1048576, or "unlimited"'
        ) from None


def duration(name: str, value: object) -> float:
    """A length of time in seconds, 0 or more: a number, or a text such as ``30 min``, ``1 day``, ``500 ms``."""
    quantity = _quantity(value, _DURATIONS)
    if quantity is None or math.isnan(quantity) or quantity > LONGEST:
        raise BadInput(f'{name} = {value!r}: expected a duration such as 90, "90 s", "30 min", "2 hours" or "1 day"')
    return quantity


def whole_seconds(name: str, value: object) -> int:
    """A length of time as :func:`duration` reads it, in whole seconds."""
    read = duration(name, value)
    if read != int(read):
        raise BadInput(f"{name} = {value!r}: expected whole seconds")
    return int(read)


def timeout(name: str, value: object) -> float:
    """A length of time as :func:`duration` reads it, longer than nothing."""
    read = duration(name, value)
    if read <= 0:
        raise BadInput(f"{name} = {value!r}: expected a duration of more than 0 seconds")
    return read


MOST_WORKERS = 64


def workers(name: str, value: object) -> int:
    """How many processes; "auto" means as many as there are processors."""
    if value == "auto":
        return min(os.cpu_count() or 1, MOST_WORKERS)
    return whole_number(1, MOST_WORKERS)(name, value)


def whole_number(least: int, most: int) -> Callable[[str, object], int]:
    """A reader of whole numbers between two bounds, both included."""

    def read(name: str, value: object) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}\s*", value, re.ASCII) else value
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise BadInput(f"{name} = {value!r}: expected a whole number from {least} to {most}")
        return number

    return read


def one_of(*choices: str) -> Callable[[str, object], str]:
    """A reader of one word out of a few."""

    def read(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise BadInput(f"{name} = {value!r}: expected {' or '.join(choices)}")
        return value

    return read


def switch(name: str, value: object) -> bool:
    """A truth value: ``true``, ``yes``, ``on``, ``1`` or their opposites."""
    return boolean(name, value.strip() if isinstance(value, str) else value)


def path(name: str, value: object) -> Path:
    """An absolute path; ``~`` is the home directory, a relative one starts where the daemon is started."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadInput(f"{name} = {value!r}: expected a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise BadInput(f"{name} = {value!r}: expected a path; there is no such home directory") from None


def path_or_none(name: str, value: object) -> Path | None:
    """An absolute path as :func:`path` reads it, or ``None``."""
    return None if value is None else path(name, value)


def principals(name: str, value: object) -> tuple[str, ...] | None:
    """Users and ``:groups``: a list, or one text with commas; ``None`` is not the same as nobody."""
    if value is None:
        return None
    return tuple(dict.fromkeys(access_list(name, value)))


def database(name: str, value: object) -> str | None:
    """The URL of a database, SQLite or PostgreSQL (as libpq reads it), or ``None``."""
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else ""
    if not re.match(r"sqlite:///.|postgresql(\+psycopg)?://", text):
        raise BadInput(
            f"{name} = {value!r}: expected a URL such as postgresql://user:password@host/name or sqlite:////path"
        )
    return text


def toml_masked(value: object) -> str:
    """A URL as TOML spells it, without its credentials."""
    return toml(masked(str(value)))


def certificates(name: str, value: object) -> Path | None:
    """The path of a PEM file that holds at least one certificate, or ``None``."""
    if value is None:
        return None
    bundle = path(name, value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=bundle)
    except ssl.SSLError:
        raise BadInput(f"{name} = {value!r}: expected a file with a certificate in PEM format") from None
    except OSError as error:
        raise BadInput(f"{name} = {value!r}: expected a file that can be read: {error.strerror}") from None
    return bundle


def public_url(name: str, value: object) -> str | None:
    """The address that clients use, without a slash at its end, or ``None``."""
    if value is None:
        return None
    url = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(url)
        valid = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and "@" not in parts.netloc
            and not re.search(r"[?#\\\s\x00-\x1f\x7f]", url)
        )
    except ValueError:
        valid = False
    if not valid:
        raise BadInput(
            f"{name} = {value!r}: expected a URL that begins with http:// or https://, without user, query and fragment"
        )
    return url.rstrip("/")


def listen(name: str, value: object) -> tuple[str, ...]:
    """Places to listen on, as Twisted's server endpoint strings: a list, or one text with blanks between them."""
    entries: Iterable[object] = (
        value.split() if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    )
    read = tuple(_endpoint(name, entry) for entry in entries)
    if not read:
        raise BadInput(
            f'{name} = {value!r}: expected a list of places to listen on such as ["tcp:3141:interface=127.0.0.1"]'
        )
    return read


def address(name: str, host: str, port: int) -> str:
    """The endpoint string for a host and a port; ``*`` and the empty host mean every interface."""
    host = host.removeprefix("[").removesuffix("]")
    if not 0 <= port <= 65535:
        raise BadInput(f"{name} = {port}: expected a port from 0 to 65535")
    kind = "tcp6" if ":" in host else "tcp"
    return f"{kind}:{port}" + ("" if host in {"", "*"} else f":interface={quoteStringArgument(host)}")


def _endpoint(name: str, entry: object) -> str:
    """One place to listen on; ``host:port``, ``*:port`` and ``[::1]:port`` become endpoint strings."""
    expected = f"{name} = {entry!r}: expected an endpoint such as tcp:3141:interface=127.0.0.1, or host:port"
    if not isinstance(entry, str) or not entry.strip():
        raise BadInput(expected)
    text = entry.strip()
    kind, _, rest = text.partition(":")
    plain = _ADDRESS.fullmatch(text)
    if plain and kind not in {*_INTERNET, "unix", "systemd"}:
        text = address(name, plain[1], int(plain[2]))
        kind, _, rest = text.partition(":")
    if kind == "systemd":
        # Parsed by Twisted only where systemd passed sockets on, which `pypicache config` cannot ask for.
        if not _SYSTEMD.fullmatch(text):
            raise BadInput(f"{name} = {entry!r}: expected systemd:domain=INET:index=0 or systemd:domain=INET:name=NAME")
        return text
    if kind in _INTERNET:
        arguments = _COLON.split(rest)
        named = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        port = named.get("port", arguments[0])
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise BadInput(f"{expected}; {port!r} is not a port")
        host = named.get("interface", "").replace("\\:", ":")
        if host and not _can_be_an_interface(host):
            raise BadInput(f"{expected}; {host!r} is not an address")
        given = len([argument for argument in arguments if "=" not in argument])
        if "backlog" not in named and given < _INTERNET[kind]:
            text += f":backlog={BACKLOG}"
    try:
        serverFromString(None, text)
    except OSError as error:
        raise BadInput(f"{expected}; {error.filename}: {error.strerror}") from None
    except Exception as error:  # Twisted and OpenSSL tell what is wrong with an endpoint by many types
        reason = " ".join(str(error).split())
        raise BadInput(f"{expected}; {reason}" if reason else expected) from None
    return text


def host_and_port(endpoint: str) -> tuple[str, int] | None:
    """Where a ``tcp``, ``tcp6`` or ``ssl`` endpoint listens, ``*`` for every interface; ``None`` for others."""
    kind, _, rest = endpoint.partition(":")
    if kind not in _INTERNET:
        return None
    arguments = [argument.replace("\\:", ":") for argument in _COLON.split(rest)]
    named = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    plain = [argument for argument in arguments if "=" not in argument]
    host = named.get("interface") or (plain[1] if kind == "tcp" and len(plain) > 1 else "")
    return host or "*", int(named.get("port", plain[0] if plain else "0"))


def _can_be_an_interface(host: str) -> bool:
    """Tell an address or a name from what can never be one."""
    if re.fullmatch(r"[\d.]+", host):
        try:
            socket.inet_aton(host)
        except OSError:
            return False
        return True
    return bool(re.fullmatch(r"[\w.:%-]+", host))


def without_secrets(sentence: str) -> str:
    """A sentence ``name = value: ...`` with stars in place of everything before the last ``@`` of the value."""
    return _SECRET.sub(r"\1\2****:****@", sentence)


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that was probably meant."""
    from difflib import get_close_matches  # here, because nothing is misspelt as a rule

    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def default_index() -> str:
    """The address of PyPI, as distlib says it."""
    # Its module is read, not run: it would import a megabyte of modules for this one line.
    spec = find_spec("distlib.index")
    text = getattr(spec and spec.loader, "get_source", lambda _: None)("distlib.index") or ""
    if said := re.search(r"""^DEFAULT_INDEX = (['"])(\S+)\1$""", text, re.MULTILINE):
        return said[2]
    from distlib.index import DEFAULT_INDEX

    return str(DEFAULT_INDEX).strip()


def toml(value: object) -> str:
    """A value as TOML spells it, on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case Mapping():
            inside = ", ".join(f"{toml_key(str(key))} = {toml(item)}" for key, item in value.items())
            return "{ " + inside + " }" if inside else "{}"
        case date() | time():
            return value.isoformat()
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: str) -> str:
    """A key as TOML spells it, in quotes where it needs them."""
    return key if _BARE_KEY.fullmatch(key) else toml(key)


def toml_size(value: int | None) -> str:
    """A number of bytes as a person would write it."""
    if value is None:
        return toml("unlimited")
    for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if value % 1024**power == 0 and value < 10**9 * 1024**power:
            return toml(f"{value // 1024**power} {prefix}iB")
    return toml(value)
