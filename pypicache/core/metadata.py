"""Core metadata: what is known of a release (contract devpi 8.3), and what the archive itself says."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from pypicache.core.errors import BadInput

Release = Mapping[str, str | list[str]]

TEXTS = (
    "name", "version", "metadata_version", "summary", "home_page", "author", "author_email", "maintainer",
    "maintainer_email", "license", "description", "keywords", "download_url", "comment", "requires_python",
    "description_content_type", "license_expression",
)  # fmt: skip
LISTS = (
    "platform", "classifiers", "supported_platform", "provides", "requires", "obsoletes", "project_urls",
    "provides_dist", "obsoletes_dist", "requires_dist", "requires_external", "provides_extras", "dynamic",
    "license_file",
)  # fmt: skip
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "provides_extras": ("provides_extras", "provides_extra"),
    "license_file": ("license_file", "license_files"),
}
"""How uploaders call a key whose name is not the same everywhere."""

NOTHING_SAID: Release = {**dict.fromkeys(TEXTS, ""), **{key: [] for key in LISTS}}

_PARSED: Mapping[str, str] = {
    "platforms": "platform",
    "supported_platforms": "supported_platform",
    "provides_extra": "provides_extras",
    "license_files": "license_file",
}
_METADATA_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)


@frozen(kw_only=True)
class CoreMetadata:
    """METADATA of a wheel or PKG-INFO of a source archive."""

    name: str
    version: str
    requires_python: str | None = None
    release: Release = field(factory=dict)  # keys of contract devpi 8.3; only what is said


def read_metadata(text: bytes, where: str) -> CoreMetadata:
    """Read METADATA or PKG-INFO.

    :param where: what the file is called, for the sentence of an error.
    :raises BadInput: name or version is missing, or it is of a format that nobody knows yet.
    """
    from packaging.metadata import parse_email  # here, because it is more than a megabyte that few daemons need

    parsed = dict(parse_email(text)[0])
    said: dict[str, str | list[str]] = {}
    for key, value in parsed.items():
        if key == "project_urls" and isinstance(value, dict):
            said[key] = [f"{label}, {url}" for label, url in value.items()]
        elif key == "keywords" and isinstance(value, list):
            said[key] = ",".join(value)
        elif isinstance(value, str):
            said[key] = "" if value.strip() == "UNKNOWN" else value
        elif isinstance(value, list):
            said[_PARSED.get(key, key)] = [item for item in value if item.strip() != "UNKNOWN"]
    known = {key: value for key, value in said.items() if key in NOTHING_SAID}
    name, version = known.get("name"), known.get("version")
    if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
        raise BadInput(f"content: the {where} in the archive has no Name or no Version")
    check_format(str(known.get("metadata_version", "")), f"content: Metadata-Version in the {where}")
    requires = known.get("requires_python")
    return CoreMetadata(
        name=name, version=version, requires_python=str(requires).strip() if requires else None, release=known
    )


def check_format(version: str, what: str) -> None:
    """Take every format of core metadata that has the meaning of those we know: 1.x and 2.x.

    :raises BadInput: it is none of them.
    """
    if not version:
        return
    matched = _METADATA_VERSION.fullmatch(version)
    if matched is None or int(matched[1]) not in {1, 2}:
        raise BadInput(f"{what} is {version[:20]!r}: expected 1.0 to 2.6")


def combined(known: Release | None, form: Release, archive: Release | None) -> dict[str, str | list[str]]:
    """The metadata of a release after an upload; what the archive says wins over the form, because tools disagree.

    :param known: before the upload; ``None`` if the release is new.
    """
    return {
        **NOTHING_SAID,
        **(known or {}),
        **form,
        **(archive or {}),
        "name": form["name"],
        "version": form["version"],
    }
