"""What a distribution file is, by its name: in the words of upload forms and of the JSON API."""

from __future__ import annotations

import re

from pypicache.core.dist import is_wheel

_WHEEL_TAG = re.compile(r"(?:py|cp|pp)(\d)(\d*)", re.ASCII)
_EGG_TAG = re.compile(r"-py(\d[\d.]*)", re.ASCII)
_KINDS = {".egg": "bdist_egg", ".exe": "bdist_wininst", ".msi": "bdist_msi", ".rpm": "bdist_rpm", ".dmg": "bdist_dmg"}


def file_type(name: str) -> tuple[str, str]:
    """What upload forms call ``filetype`` and ``pyversion``, by a file's name."""
    if is_wheel(name):
        tags = name[: -len(".whl")].split("-")[-3:-2]
        found = [match for tag in (tags[0].split(".") if tags else []) if (match := _WHEEL_TAG.fullmatch(tag))]
        versions = [".".join(filter(None, match.groups())) for match in found]
        if versions == ["2", "3"]:
            return "bdist_wheel", "2.7"
        return "bdist_wheel", versions[0] if versions else "any"
    ending = next((ending for ending in _KINDS if name.lower().endswith(ending)), None)
    if ending is None:
        return "sdist", "source"
    python = _EGG_TAG.search(name)
    return _KINDS[ending], "any" if python is None else str(python[1]).rstrip(".")


def package_type(name: str) -> tuple[str, str]:
    """What the JSON API calls ``packagetype`` and ``python_version``, by a file's name."""
    kind, python = file_type(name)
    if kind != "bdist_wheel":
        return kind, python
    tags = name[: -len(".whl")].split("-")[-3:-2]
    return kind, tags[0] if tags else "any"
