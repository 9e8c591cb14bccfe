"""The settings as text: those in effect (``pypicache config``), and the commented example file."""

from __future__ import annotations

import json

from pypicache.core.errors import BadInput
from pypicache.ledger.glance import glance
from pypicache.settings import KEYS, Settings
from pypicache.settings_users import shown_user
from pypicache.settings_values import toml, toml_key, toml_masked
from pypicache.work.drift import Drift, drift

SECTIONS = ("server", "cache")


def effective(settings: Settings) -> str:
    """The settings as TOML, each line with its origin; credentials are masked."""
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"[{section}]"]
        for key in KEYS:
            if key.section == section:
                value = getattr(settings, key.name)
                shown = (
                    f"# {key.name} is unset"
                    if value is None and key.write in {toml, toml_masked}
                    else f"{key.name} = {key.write(value)}"
                )
                lines.append(f"{shown}  # {settings.sources.get(key.name, 'default')}")
        lines.append("")
    for spec in settings.indexes:
        source = settings.sources.get(f'indexes."{spec.name}"', "default")
        lines += [f"[indexes.{toml_key(spec.name)}]  # {source}"]
        lines += [f"{name} = {toml(value)}  # {source}" for name, value in spec.shown().items()]
        lines.append("")
    for name, record in settings.users.items():
        source = settings.sources.get(f"users.{toml(name)}", "default")
        lines += [f"[users.{toml_key(name)}]  # {source}"]
        lines += [f"{key} = {toml(value)}  # {source}" for key, value in shown_user(record).items()]
        lines.append("")
    return "\n".join(lines)


def compared(settings: Settings) -> str:
    """What is declared and what is in force, as comments; nothing is changed, and no secret is in it."""
    try:
        found = glance(settings.database_url, lambda connection: drift(connection, settings.users, settings.indexes))
    except BadInput as error:
        return f"# What is in force cannot be read. {error}\n"
    if found is None:
        return "# There is no ledger yet: users and indexes are made as they are declared when the daemon is started.\n"
    if not found:
        return "# The users and indexes are as they are declared.\n"
    lines = ["# Users and indexes are not all as they are declared; what clients change stays:"]
    lines += ["# " + _difference(each) for each in found]
    return "\n".join(lines) + "\n"


def _difference(found: Drift) -> str:
    subject = f"{found.kind}.{toml_key(found.name)}"
    if found.option is None:
        return f"{subject} {_one_line(found.remark)}"
    if found.declared is None and found.actual is None:
        return f"{subject}.{found.option} {found.remark}"
    change = f"{_value(found.declared)} -> {_value(found.actual)}"
    return f"{subject}.{found.option}: {change}{f' ({found.remark})' if found.remark else ''}"


def _value(value: object) -> str:
    return "unset" if value is None else _one_line(json.dumps(value, ensure_ascii=False))


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def example() -> str:
    """The example file: every setting with its default, commented out."""
    lines = [
        "# pypicache.toml: everything in it is optional; this file shows the defaults.",
        "# Environment variables win over this file, command line flags win over both.",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for key in KEYS:
            if key.section == section:
                flags = ", ".join(f"--{flag}" for flag in key.flags)
                unit = f" In {key.unit}." if key.unit else ""
                shown = key.example if key.default is None else key.default
                unset = " Unset by default." if key.default is None else ""
                lines += [
                    "",
                    f"# {key.help}{unit}{unset}",
                    f"# {key.variable}, {flags}",
                    f"#{key.name} = {toml(shown)}",
                ]
    lines += [
        "",
        "# Indexes. Without any, there is root/pypi, the mirror of PyPI. It is there as well when others are declared,",
        "# unless no_root_pypi is set. Credentials in mirror_url are sent to its host and to no other.",
        "",
        '#[indexes."team/upstream"]',
        '#type = "mirror"',
        '#mirror_url = "https://user:password@up.example/simple/"',
        '#mirror_cache_expiry = "10 min"',
        '#title = "The upstream of our team"',
        "",
        "# Users. They are made at the first start. root is there in any case; as long as it has no password, anybody",
        "# on this machine, and nobody else, can log in as root with an empty one.",
        "",
        "#[users.root]",
        '#password = "a good one"',
        '#email = "admin@team.example"',
    ]
    return "\n".join(lines) + "\n"
