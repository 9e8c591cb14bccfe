"""What an uploader's form says: texts by field, several of them where a field repeats (contract clients 2.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

from pypicache.core.errors import BadInput
from pypicache.core.metadata import LISTS, SPELLINGS, TEXTS, Release

_NOT_IN_VERSIONS = re.compile(r"[\s/\\<>%#\"?\x00-\x1f\x7f-\x9f]")


@frozen
class Form:
    """The fields of a form that are texts; ``UNKNOWN``, which old tools write for nothing, is nothing."""

    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)

    def texts(self, name: str) -> list[str]:
        """All values of a field that are not blank."""
        values = self.fields.get(name, ())
        if name != "description":
            values = tuple(map(str.strip, values))
        return [value for value in values if value and value != "UNKNOWN"]

    def text(self, name: str) -> str:
        """The first value of a field that is not blank; empty if there is none."""
        texts = self.texts(name) if name in self.fields else None
        return texts[0] if texts else ""

    def has(self, name: str) -> bool:
        """Whether the field was sent, be it blank."""
        return name in self.fields

    def release(self) -> Release:
        """What the form says about the release, in the keys of contract devpi 8.3; only what was sent."""
        found: dict[str, str | list[str]] = {key: self.text(key) for key in TEXTS if self.has(key)}
        for key in LISTS:
            spellings = [spelling for spelling in SPELLINGS.get(key, (key,)) if self.has(spelling)]
            if spellings:
                found[key] = [value for spelling in spellings for value in self.texts(spelling)]
        return found

    def version(self) -> str:
        """The version that is uploaded, as it is spelled.

        :raises BadInput: there is none, or it cannot stand in an address.
        """
        version = self.text("version")
        if not version:
            raise BadInput("invalid metadata: version is missing")
        if len(version) > 200 or _NOT_IN_VERSIONS.search(version) or version[0] in ".+":
            raise BadInput(f"invalid metadata: {version[:80]!r} is not a version")
        return version
