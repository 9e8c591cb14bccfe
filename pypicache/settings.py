"""What an operator can decide, each thing declared once: defaults < TOML file < environment < command line.

A declaration in :class:`Settings` gives the key of the TOML file, the environment variable, the command line flags,
the commented example file and the output of ``pypicache config`` (:mod:`pypicache.settings_text`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import Converter, Factory, evolve, field, fields, frozen

from pypicache.core.errors import BadInput
from pypicache.core.model import index_name
from pypicache.core.spec import MIRROR_KEYS, MirrorSpec
from pypicache.settings_users import read_user
from pypicache.settings_values import (
    Reader,
    address,
    certificates,
    closest,
    database,
    default_index,
    host_and_port,
    listen,
    one_of,
    path,
    path_or_none,
    principals,
    public_url,
    size,
    size_or_unlimited,
    switch,
    timeout,
    toml,
    toml_key,
    toml_masked,
    toml_size,
    whole_number,
    whole_seconds,
    without_secrets,
    workers,
)

ENVIRONMENT = "PYPICACHE_"
INDEX_TYPES = ("mirror",)
ROOT = "root/pypi"
HOST, PORT = "127.0.0.1", 3141  # where --port and --host alone listen


@frozen(kw_only=True)
class Key:
    """One thing that can be set: how it is called everywhere, and how it is read."""

    name: str = ""
    section: str  # of the TOML file
    default: object  # as a TOML file would give it; None: unset
    read: Reader
    help: str
    flags: tuple[str, ...] = ()  # without dashes in front; the first is the one that is shown
    unit: str = ""
    example: object = None  # what the example file shows for a key without a default
    write: Callable[[Any], str] = toml

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT + self.name.upper()

    @property
    def is_switch(self) -> bool:
        """Tell whether the flag stands alone, without a value."""
        return self.read is switch

    @property
    def is_list(self) -> bool:
        """Tell whether the flag may be given several times."""
        return self.read is listen


def _setting(section: str, default: object, read: Reader, explanation: str, **more: Any) -> Any:
    """Declare a setting; its value is read again whenever a :class:`Settings` is made, so that a bad one cannot be."""
    key = Key(section=section, default=default, read=read, help=explanation, **more)

    def convert(value: object, attribute: Any) -> object:
        return read(attribute.name, value)

    return field(default=default, converter=Converter(convert, takes_field=True), metadata={"key": key})


@frozen(kw_only=True)
class Settings:
    """Everything that was decided for one daemon."""

    listen: tuple[str, ...] = _setting(
        "server",
        [f"tcp:{PORT}:interface={HOST}"],
        listen,
        "Where to listen: Twisted endpoints (tcp, tcp6, ssl, unix, systemd), or host:port, *:port, [::1]:port.",
    )
    state: Path = _setting(  # noqa: RUF009  # this makes a field, not a value
        "server",
        "~/.pypicache",
        path,
        "The directory for everything that is kept.",
        flags=("state", "serverdir"),
    )
    workers: int = _setting(
        "server",
        1,
        workers,
        'How many processes answer clients; "auto": one per processor.',
    )
    outside_url: str | None = _setting(
        "server",
        None,
        public_url,
        "The address that clients use, where a proxy in front does not say it; it may end in a path.",
        example="https://packages.example/pypi",
    )
    offline: bool = _setting("server", False, switch, "Ask no upstream; serve what is kept.", flags=("offline-mode",))
    request_timeout: float = _setting(
        "server",
        5,
        timeout,
        "How long a client waits for an upstream before it gets the last known page.",
        unit="seconds",
    )
    ca_bundle: Path | None = _setting(  # noqa: RUF009  # this makes a field, not a value
        "server",
        None,
        certificates,
        "A PEM file with the certificate authorities to trust for upstreams, in place of the system's.",
        example="/etc/ssl/certs/company.pem",
    )
    max_upload_size: int = _setting(
        "server",
        "1 GiB",
        size,
        "The largest file that is accepted from an uploader.",
        unit="bytes",
        write=toml_size,
    )
    private_networks: bool = _setting(
        "server", False, switch, "Let pushes, webhooks and build triggers reach this machine and private networks."
    )
    log_format: str = _setting(
        "server",
        "text",
        one_of("text", "json"),
        "Log lines: for people (text) or machines (json).",
    )
    secret_file: Path | None = _setting(  # noqa: RUF009  # this makes a field, not a value
        "server",
        None,
        path_or_none,
        "The file with the key that signs login tokens, mode 0600, in place of the one in the state directory.",
        flags=("secretfile",),
        example="/etc/pypicache/secret",
    )
    restrict_modify: tuple[str, ...] | None = _setting(
        "server",
        None,
        principals,
        "Only these users may make, change and delete users and indexes; everybody may change their own password.",
        example=["root"],
    )
    database: str | None = _setting(
        "server",
        None,
        database,
        "Where accounts, indexes and uploads are recorded, in place of ledger.sqlite in the state directory.",
        example="postgresql://user:password@db.example/pypicache",
        write=toml_masked,
    )
    no_root_pypi: bool = _setting(
        "server", False, switch, f"Do not add the mirror of PyPI, {ROOT}, where the file lacks it."
    )

    max_size: int | None = _setting(
        "cache",
        "50 GiB",
        size_or_unlimited,
        'How much mirrored files may take on disk; "unlimited" for no limit.',
        unit="bytes",
        write=toml_size,
    )
    mirror_cache_expiry: int = _setting(
        "cache",
        1800,
        whole_seconds,
        "How long a page of a mirror counts as fresh; an index may have its own.",
        unit="seconds",
    )
    client_max_age: int = _setting(
        "cache",
        600,
        whole_seconds,
        "How long clients may use a page without asking again; 0 tells them to ask each time.",
        unit="seconds",
    )
    refresh_ahead: int = _setting(
        "cache",
        "1 day",
        whole_seconds,
        "Pages that were used within this time are kept fresh, before anybody asks; 0 for none.",
        unit="seconds",
    )
    max_page_size: int = _setting(
        "cache",
        "100 MiB",
        size,
        "The largest page that is accepted from an upstream.",
        unit="bytes",
        write=toml_size,
    )
    ready_pages: int = _setting(
        "cache", "256 MiB", size, "How much memory ready pages may take.", unit="bytes", write=toml_size
    )
    upstream_connections: int = _setting(
        "cache", 64, whole_number(1, 1000), "How many connections to upstreams may be open at once."
    )

    users: Mapping[str, Mapping[str, Any]] = field(factory=dict, repr=False)  # name -> what is declared
    indexes: tuple[MirrorSpec, ...] = Factory(lambda: (root_pypi(),))
    sources: Mapping[str, str] = field(factory=dict, eq=False, repr=False)  # key, or `indexes."user/name"` -> origin

    @property
    def database_url(self) -> str:
        """The URL of the ledger's database."""
        return self.database or f"sqlite:///{self.state}/ledger.sqlite"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first place to listen on that has them; an empty host and 0 without any."""
        return next((place for entry in self.listen if (place := host_and_port(entry)) is not None), ("", 0))


KEYS: tuple[Key, ...] = tuple(
    evolve(key, name=each.name, flags=key.flags or (each.name.replace("_", "-"),))
    for each in fields(Settings)
    if (key := each.metadata.get("key")) is not None
)
SECTIONS = ("server", "cache", "indexes", "users")


def root_pypi(options: Mapping[str, object] | None = None) -> MirrorSpec:
    """The mirror of PyPI; with options, whatever they do not say is as in the default one."""
    parts = urlsplit(default_index())
    defaults: dict[str, object] = {"volatile": False}
    if options is None or "mirror_url" not in options:
        defaults |= {
            "title": "PyPI",
            "mirror_url": f"https://{parts.netloc}/simple/",
            "mirror_web_url_fmt": f"https://{parts.netloc}/project/{{name}}/",
        }
    return MirrorSpec.from_options(ROOT, defaults | dict(options or {}))


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None) -> Settings:
    """Put together the settings from all sources.

    :param flags: flag names without the dashes in front, such as ``offline-mode``; ``None``, ``False`` and an empty
        list stand for a flag that was not given. ``host`` and ``port`` are understood as well.
    :param environ: all environment variables.
    :param file: the TOML file, if there is one.
    :raises BadInput: with one line that says what is wrong, where, and what was expected.
    """
    document = _document(file)
    try:
        given = {**_from_file(document, file), **_from_environment(environ), **_from_flags(flags)}
        values = {key.name: key.read(given[key.name][0], given[key.name][2]) for key in KEYS if key.name in given}
        sources = {key.name: "default" for key in KEYS} | {name: source for name, (_, source, _) in given.items()}
        users = {name: read_user(name, table) for name, table in document.get("users", {}).items()}
        indexes = _indexes(document.get("indexes", {}), root=not values.get("no_root_pypi", False))
    except BadInput as error:
        raise BadInput(without_secrets(str(error))) from None
    declared = document.get("indexes", {})
    for spec in indexes:
        sources[f'indexes."{spec.name}"'] = f"file {file}" if spec.name in declared else "default"
    sources |= {f"users.{toml(name)}": f"file {file}" for name in users}
    return Settings(**values, users=users, indexes=indexes, sources=sources)  # type: ignore[arg-type]  # each value was read by its key


def _document(file: Path | None) -> dict[str, Any]:
    """The TOML file; an empty table without one."""
    if file is None:
        return {}
    import tomllib  # most daemons run on defaults

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"{file}: expected a TOML file: {error}") from None


Given = dict[str, tuple[str, str, object]]  # key -> what the value is called where it was given, origin, value


def _from_file(document: Mapping[str, Any], file: Path | None) -> Given:
    """The scalar settings of a TOML file."""
    given: Given = {}
    for section, table in document.items():
        _known(section, SECTIONS, f"{file}: {section} is not a section")
        if not isinstance(table, dict):
            raise BadInput(f"{file}: {section} = {table!r}: expected a table, [{section}]")
        if section in {"indexes", "users"}:
            continue
        names = {key.name for key in KEYS if key.section == section}
        for name, value in table.items():
            _known(name, names, f"{file}: {section}.{toml_key(name)} is not a setting")
            given[name] = (f"{file}: {section}.{name}", f"file {file}", value)
    return given


def _from_environment(environ: Mapping[str, str]) -> Given:
    """The settings from environment variables; an empty one counts as unset."""
    variables = {key.variable: key for key in KEYS}
    given: Given = {}
    for name, value in environ.items():
        if not name.startswith(ENVIRONMENT) or not value:
            continue
        if name in variables:
            given[variables[name].name] = (name, f"environment {name}", value)
        # Container platforms write variables such as PYPICACHE_PORT for a service of this name: only typos are errors.
        elif close := closest(name, variables, 0.9):
            raise BadInput(f"{name} is not a setting; did you mean {close}?")
    return given


def _from_flags(flags: Mapping[str, object]) -> Given:
    """The settings from the command line."""
    by_flag = {flag: key for key in KEYS for flag in key.flags}
    present = {
        name: value for name, value in flags.items() if not (value is None or value is False or value in ([], ()))
    }
    given: Given = {}
    for name, value in present.items():
        if name in {"host", "port"}:
            continue
        _known(name, by_flag, f"--{name} is not a flag")
        key = by_flag[name]
        if key.name in given:
            raise BadInput(f"--{name} = {value!r}: expected once; {given[key.name][0]} says the same")
        given[key.name] = (f"--{name}", f"flag --{name}", value)
    sugar = [name for name in ("host", "port") if name in present]
    if sugar:
        if "listen" in present:
            raise BadInput(f"--{sugar[0]} = {present[sugar[0]]!r}: expected without --listen, or --listen alone")
        port = whole_number(0, 65535)("--port", present.get("port", PORT))
        places = [address("--port", str(present.get("host", HOST)), port)]
        given["listen"] = (f"--{sugar[0]}", " ".join(f"flag --{name}" for name in sugar), places)
    return given


def _indexes(declared: Mapping[str, object], *, root: bool) -> tuple[MirrorSpec, ...]:
    """The declared indexes, with the mirror of PyPI in front where it is wanted and not declared."""
    specs = tuple(_index(name, options) for name, options in declared.items())
    return specs if not root or ROOT in declared else (root_pypi(), *specs)


def _index(name: str, options: object) -> MirrorSpec:
    """One declared index."""
    label = f"indexes.{toml(name)}"
    if not isinstance(options, dict):
        raise BadInput(f"{label} = {options!r}: expected a table, [{label}]")
    try:
        index_name(name)
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from None
    kind = options.get("type")
    if kind not in INDEX_TYPES:
        found = "is missing" if kind is None else f"= {kind!r}"
        raise BadInput(f"{label}.type {found}: expected one of the known types: {', '.join(INDEX_TYPES)}")
    for option in options:
        _known(option, MIRROR_KEYS, f"{label}.{toml_key(option)} is not an option of a mirror index")
    if "mirror_url" not in options and name != ROOT:
        raise BadInput(f"{label}.mirror_url is missing: expected the URL of a simple index")
    try:
        if "mirror_cache_expiry" in options:
            options = options | {
                "mirror_cache_expiry": whole_seconds("mirror_cache_expiry", options["mirror_cache_expiry"])
            }
        return root_pypi(options) if name == ROOT else MirrorSpec.from_options(name, options)
    except BadInput as error:
        raise BadInput(f"{label}.{error}") from None


def _known(name: str, names: Iterable[str], sentence: str) -> None:
    """Refuse a name that is not one of the known ones, naming the closest, or all of them."""
    known = sorted(names)
    if name not in known:
        close = closest(name, known)
        raise BadInput(f"{sentence}; " + (f"did you mean {close}?" if close else f"expected one of {', '.join(known)}"))
