"""Names of distribution files, and the METADATA inside a wheel."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypicache.core.dist import (
    MOST_DIRECTORY,
    MOST_METADATA,
    MOST_PROJECTS,
    is_archive,
    is_wheel,
    projects_of,
    version_key,
    version_of,
    wheel_metadata,
)
from pypicache.core.model import project_name

METADATA = b"Metadata-Version: 2.1\r\nName: Foo\nVersion: 1.0\n\n\xff not text\n"


@pytest.mark.parametrize(
    ("file_name", "first"),
    [
        ("requests-2.32.3-py3-none-any.whl", "requests"),
        ("Foo_Bar.baz-1.0-1-py3-none-any.whl", "foo-bar-baz"),
        ("foo-bar-1.0.tar.gz", "foo-bar"),
        ("foo-bar-1.0-beta-2.tar.gz", "foo-bar"),
        ("foo-1.0-1.zip", "foo"),
        ("python-3-1.0.tar.gz", "python-3"),
        ("zope.interface-7.0.tar.bz2", "zope-interface"),
        ("pytz-2004d.tar.gz", "pytz"),
        ("foo_bar-1.0-py2.7.egg", "foo-bar"),
        ("foo-bar-1.0-py3.8-linux-x86_64.egg", "foo-bar"),
        ("foo-1.0.win32-py2.7.exe", "foo"),
        ("foo-bar-1.0.win-amd64.exe", "foo-bar"),
        ("foo-1.0.win-amd64-py3.6.msi", "foo"),
        ("foo-1.0.linux-x86_64.tar.gz", "foo"),
        ("foo-1.0.macosx-10.9-x86_64.tar.gz", "foo"),
        ("foo-bar-1.0-1.noarch.rpm", "foo-bar"),
        ("python3-foo_1.0-1_all.deb", "foo"),
        ("foo-1.0.doc.zip", "foo"),
        ("foo.tar.gz", "foo"),
        ("foo-1.0+local.tar.gz", "foo"),
    ],
)
def test_the_most_plausible_project_comes_first(file_name: str, first: str) -> None:
    assert projects_of(file_name)[0] == first


def test_other_projects_follow() -> None:
    assert projects_of("foo-bar-1.0.tar.gz") == ("foo-bar", "foo", "foo-bar-1-0")
    assert projects_of("foo-1.0-1.tar.gz")[:2] == ("foo", "foo-1-0")


@pytest.mark.parametrize(
    "file_name", ["", "..", ".whl", "-1.0.tar.gz", "a/b-1.0.zip", "foo.whl", "f\0-1.0.zip", "foo-1.0.whl"]
)
def test_names_that_say_nothing(file_name: str) -> None:
    assert projects_of(file_name) == ()


def test_a_wheel_belongs_to_one_project() -> None:
    assert projects_of("foo-bar-1.0-py3-none-any.whl") == ("foo",)


@given(st.text(max_size=80), st.sampled_from([".whl", ".tar.gz", ".exe", ".rpm", ".egg", ".deb", ""]))
@settings(deadline=None)
def test_any_name_has_few_projects_and_all_are_valid(text: str, ending: str) -> None:
    projects = projects_of(text + ending)
    assert len(projects) == len(set(projects)) <= MOST_PROJECTS
    assert all(project_name(project) == project for project in projects)
    for project in projects:
        version_of(text + ending, project)


def test_a_name_of_many_dashes_has_few_projects() -> None:
    assert len(projects_of("-".join("abcdefghijklmnopqrstuvwxyz") + "-1.0.tar.gz")) == MOST_PROJECTS


@pytest.mark.parametrize(
    ("file_name", "project", "version"),
    [
        ("foo-1.0-py3-none-any.whl", "foo", "1.0"),
        ("foo-1.0-2-py3-none-any.whl", "foo", "1.0"),
        ("Foo.Bar-1.0+cu121-py3-none-any.whl", "foo-bar", "1.0+cu121"),
        ("foo-1.0_1-py3-none-any.whl", "foo", "1.0-1"),
        ("foo-1.0_cu121-py3-none-any.whl", "foo", "1.0+cu121"),
        ("foo-1.0.post1_dev2-py3-none-any.whl", "foo", "1.0.post1_dev2"),
        ("foo-2004d-py3-none-any.whl", "foo", "2004d"),
        ("foo-nonsense-py3-none-any.whl", "foo", None),
        ("foo-1.0-py3-none-any.whl", "bar", None),
        ("foo-1.0.whl", "foo", None),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo-bar-1.0.tar.gz", "foo", None),
        ("foo_bar-1.0b2.zip", "foo-bar", "1.0b2"),
        ("foo-1.0-beta-2.tar.gz", "foo", "1.0-beta-2"),
        ("foo-1.0+a.b.tar.gz", "foo", "1.0+a.b"),
        ("pytz-2004d.tar.gz", "pytz", "2004d"),
        ("foo_bar-1.0_1-py2.7.egg", "foo-bar", "1.0-1"),
        ("foo-1.0.win32-py2.7.exe", "foo", "1.0"),
        ("foo-1.0.linux-x86_64.tar.gz", "foo", "1.0"),
        ("foo.tar.gz", "foo", None),
    ],
)
def test_the_version_in_a_name(file_name: str, project: str, version: str | None) -> None:
    assert version_of(file_name, project_name(project)) == version


def test_spellings_of_one_version_have_one_key() -> None:
    for one, other in [("1.0", "1.0.0"), ("1", "1.0"), ("1.0-beta1", "1.0b1"), ("1.0-1", "1.0.post1"), ("0", "0.0")]:
        assert version_key(one) == version_key(other)
    assert len({version_key(text) for text in ("1.0", "1.1", "1.10", "10", "1.0b1", "1.0+a", "2004d", "")}) == 8


def test_kinds_of_files() -> None:
    assert is_wheel("a-1-py3-none-any.whl")
    assert not is_wheel("a-1-py3-none-any.whl.metadata")
    assert is_archive("A-1.TAR.GZ")
    assert is_archive("a-1.tar.Z")
    assert not is_archive("a-1.tar.gz.asc")
    assert not is_archive("a-1-py3-none-any.whl.metadata")


def wheel(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


GOOD = wheel(("foo/__init__.py", b""), ("foo-1.0.dist-info/METADATA", METADATA), ("foo-1.0.dist-info/RECORD", b""))


def test_metadata_byte_for_byte() -> None:
    assert wheel_metadata(io.BytesIO(GOOD)) == METADATA


@pytest.mark.parametrize(
    "members",
    [
        [],
        ["foo/METADATA"],
        ["foo-1.0.egg-info/METADATA"],
        ["x/foo-1.0.dist-info/METADATA"],
        ["foo-1.0.dist-info/x/METADATA"],
        ["foo-1.0.dist-info/METADATA", "bar-1.0.dist-info/METADATA"],
        [".dist-info/METADATA"],
    ],
)
def test_not_exactly_one_metadata(members: list[str]) -> None:
    assert wheel_metadata(io.BytesIO(wheel(*((name, METADATA) for name in members)))) is None


def test_the_same_member_twice() -> None:
    once = ("a-1.dist-info/METADATA", b"x")
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = wheel(once, once)
    assert wheel_metadata(io.BytesIO(twice)) is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(compression: int) -> None:
    data = wheel(("a-1.dist-info/METADATA", METADATA), compression=compression)
    assert wheel_metadata(io.BytesIO(data)) == METADATA


def test_a_bomb_is_not_unpacked() -> None:
    assert wheel_metadata(io.BytesIO(wheel(("a-1.dist-info/METADATA", bytes(MOST_METADATA))))) == bytes(MOST_METADATA)
    bomb = wheel(("a-1.dist-info/METADATA", bytes(MOST_METADATA + 1)))
    assert wheel_metadata(io.BytesIO(bomb)) is None


def test_a_bomb_that_claims_to_be_small() -> None:
    bomb = wheel(("a-1.dist-info/METADATA", bytes(64 * 2**20)))
    lying = bomb.replace(struct.pack("<L", 64 * 2**20), struct.pack("<L", 10))
    assert lying != bomb
    assert wheel_metadata(io.BytesIO(lying)) is None


def test_a_huge_table_of_contents_is_not_read() -> None:
    class Counted(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.most = max(self.most, len(data))
            return data

    claimed = MOST_DIRECTORY * 3
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, claimed, 0, 0)
    stream = Counted(bytes(claimed) + end)
    assert wheel_metadata(stream) is None
    assert stream.most <= MOST_DIRECTORY + 1


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip", GOOD[:-1], GOOD[10:], GOOD[: len(GOOD) // 2]])
def test_broken_archives(data: bytes) -> None:
    assert wheel_metadata(io.BytesIO(data)) in {None, METADATA}


def test_a_wrong_checksum() -> None:
    stored = wheel(("a-1.dist-info/METADATA", METADATA), compression=zipfile.ZIP_STORED)
    assert wheel_metadata(io.BytesIO(stored.replace(b"Name: Foo", b"Name: Bar"))) is None


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
@settings(deadline=None, max_examples=300)
def test_damaged_archives_never_raise(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    assert wheel_metadata(io.BytesIO(bytes(data))) in {None, METADATA}
