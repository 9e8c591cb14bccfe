"""Pages before they are compressed, and what was written of the files of large ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import quote

from attrs import define, field, frozen

from pypicache.core.model import File, Project
from pypicache.core.simple_write import html_line, html_page, json_line, json_page
from pypicache.web.negotiation import Format

LINE = 60  # bytes; what it takes to remember a line besides its text
Key = tuple[str, str, str, Format]  # path of the outside URL, index, project, format

_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~/+"  # what an address has unquoted


@frozen
class Written:
    """What a page says of each of its files."""

    files: Sequence[File]
    lines: Sequence[bytes]

    @property
    def weight(self) -> int:
        """Bytes of memory, without those of the files, which the index remembers as well."""
        return sum(map(len, self.lines)) + LINE * len(self.lines)


@define
class Lines:
    """What was written last, up to a number of bytes; of a page that changed only lines of new files are written."""

    _most_bytes: int
    weight: int = 0  # bytes
    _written: OrderedDict[Key, Written] = field(factory=OrderedDict)

    def get(self, key: Key) -> Written | None:
        """How the page was."""
        return self._written.get(key)

    def put(self, key: Key, written: Written) -> None:
        """Remember how it is."""
        before = self._written.pop(key, None)
        self._written[key] = written
        self.weight += written.weight - (0 if before is None else before.weight)
        while self.weight > self._most_bytes:
            self.weight -= self._written.popitem(last=False)[1].weight


def write(key: Key, project: Project, before: Written | None) -> tuple[bytes, Written]:
    """Write a page.

    :param before: what was written at this place; a file is the same as long as it is the same object.
    """
    prefix, index, _, format_ = key
    line, page = (json_line, json_page) if format_ == Format.JSON.name else (html_line, html_page)
    starts: dict[str, str] = {}

    def url_of(file: File) -> str:
        start = starts.get(file.index)
        if start is None:
            start = starts[file.index] = f"{prefix}/{quote(file.index or index, safe='/@')}/"
        path = file.path
        return start + (quote(path, safe="/+") if path.encode().translate(None, _PLAIN) else path)

    there = {} if before is None else dict(zip(map(id, before.files), before.lines, strict=True))
    lines = [there.get(id(file)) or line(file, url_of(file)) for file in project.files]
    return page(project, lines), Written(project.files, lines)
