"""A page that is written with the lines of the one before it is what it would be afresh."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pypicache.core.model import File, Project, project_name
from pypicache.web import written
from pypicache.web.negotiation import Format
from pypicache.web.written import Key, Lines, Written, write, write_whole

FILES = [
    File(name=f"demo-1!{number}.zip", url="", hashes={"sha256": f"{number:064x}"}, size=number, index="team/dev")
    for number in range(12)
]
KEYS: list[Key] = [("/outside", "team/dev", "demo", format_) for format_ in Format]


def project(files: Sequence[File]) -> Project:
    """A project of these files."""
    return Project(name=project_name("demo"), revision="1", files=tuple(files))


def others(file: File) -> list[File]:
    """Files that are not quite the same."""
    name = file.name.replace("-", "-1.")
    return [
        evolve(file, name=name),
        file,
        evolve(file, yanked="&"),
        evolve(file, index="root/dev"),
        evolve(file, size=None),
        evolve(file),
    ]


LISTINGS = st.lists(st.sampled_from([other for file in FILES for other in others(file)]), max_size=8)


@given(st.sampled_from(KEYS), st.lists(LISTINGS, min_size=2, max_size=5))
def test_whatever_changes_it_is_what_it_would_be_afresh(key: Key, listings: list[list[File]]) -> None:
    before: Written | None = None
    for files in listings:
        page, before = write(key, project(files), before)
        assert page == write(key, project(files), None)[0] == write_whole(key, project(files))


@pytest.mark.parametrize("key", KEYS)
def test_addresses_are_quoted(key: Key) -> None:
    """Whether or not other names of the page need it."""
    plain = evolve(FILES[0], name="demo-1.0.zip")
    for files in ([plain], [plain, FILES[3]], [FILES[3], plain]):
        page = write_whole(key, project(files))
        assert page == write(key, project(files), None)[0]
        for file in files:
            assert f"/outside/team/dev/{file.path.replace('!', '%21')}".encode() in page


@pytest.mark.parametrize("key", KEYS)
def test_only_lines_of_new_files_are_written(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = write(key, project(FILES[:10]), None)
    seen: list[File] = []

    def nothing(file: File, url: str) -> bytes:
        seen.append(file)
        return b"{}"

    monkeypatch.setattr(written, "json_line", nothing)
    monkeypatch.setattr(written, "html_line", nothing)
    changed = evolve(FILES[3], yanked=True)
    write(key, project([FILES[11], *FILES[4:10], changed, *FILES[:3]]), before)
    assert seen == [FILES[11], changed]


def test_lines_up_to_a_number_of_bytes() -> None:
    """What was not written for the longest time is forgotten, also if it is the only one."""
    some = write(KEYS[0], project(FILES[:4]), None)[1]
    lines = Lines(2 * some.weight)
    for key in (KEYS[0], KEYS[1], KEYS[0], KEYS[2]):
        lines.put(key, some)
    assert [lines.get(key) is some for key in KEYS] == [True, False, True]
    assert lines.weight == 2 * some.weight == 2 * (sum(written.LINE + len(line) for line in some.lines))
    lines = Lines(some.weight - 1)
    lines.put(KEYS[0], some)
    assert (lines.get(KEYS[0]), lines.weight) == (None, 0)
