"""Pages before they are compressed, and what was written of the files of large ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from attrs import define, field, frozen

from pypicache.core.model import File, Project, ProjectName
from pypicache.core.simple_write import (
    all_versions,
    file_versions,
    html_line,
    html_page,
    json_line,
    json_page,
    render_html,
    render_json,
)
from pypicache.web.negotiation import Format

LINE = 100  # bytes; what it takes to remember a line besides its text
Key = tuple[str, str, str, Format]  # path of the outside URL, index, project, format

_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~/+"  # what an address has unquoted


@frozen
class Written:
    """What a page says of each of its files, and the versions that their names tell, where it lists them."""

    files: Sequence[File]
    lines: Sequence[bytes]
    versions: Sequence[str | None]

    @property
    def weight(self) -> int:
        """Bytes of memory, without those of the files, which the index remembers as well."""
        return sum(map(len, self.lines)) + LINE * len(self.lines)


@define
class Lines:
    """What was written last of pages that change, up to a number of bytes, so that only new lines are written."""

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
    """Write a page that changed.

    :param before: what was written at this place; a file is the same as long as it is the same object.
    """
    known: dict[int, tuple[bytes, str | None]] = {}
    if before is not None:
        known.update(zip(map(id, before.files), zip(before.lines, before.versions, strict=True), strict=True))
    new = [file for file in project.files if id(file) not in known]
    known.update(zip(map(id, new), _lines(key, new), strict=True))
    found = [known[id(file)] for file in project.files]
    lines, versions = [line for line, _ in found], [version for _, version in found]
    if key[3] is Format.JSON:
        page = json_page(project, lines, all_versions(project, versions))
    else:
        page = html_page(project, lines)
    return page, Written(project.files, lines, versions)


def write_whole(key: Key, project: Project) -> bytes:
    """Write a page, remembering nothing of it: most pages never change while they are ready."""
    url_of = _addresses(key, project.files)
    return render_json(project, url_of) if key[3] is Format.JSON else render_html(project, url_of)


def _lines(key: Key, files: Sequence[File]) -> Iterable[tuple[bytes, str | None]]:
    url_of = _addresses(key, files)
    if key[3] is Format.JSON:
        lines = [json_line(file, url_of(file)) for file in files]
        return zip(lines, file_versions(ProjectName(key[2]), files), strict=True)
    return [(html_line(file, url_of(file)), None) for file in files]


def _addresses(key: Key, files: Sequence[File]) -> Callable[[File], str]:
    prefix, index, _, _ = key
    # One look at all names is faster than one at each, and nearly all are written as they are.
    plain = not "".join([file.name for file in files]).encode().translate(None, _PLAIN)
    starts: dict[str, str] = {}

    def url_of(file: File) -> str:
        start = starts.get(file.index)
        if start is None:
            start = starts[file.index] = f"{prefix}/{quote(file.index or index, safe='/@')}/"
        return start + (file.path if plain else quote(file.path, safe="/+"))

    return url_of
