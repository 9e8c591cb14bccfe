"""Small files in memory: what is given is what lies on the shelf."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pypicache.store.local import Found, Shelf
from pypicache.store.small import ENTRY, SETTLED, SMALL, SmallFiles, Stamp

KEY = "root/pypi/+f/123/4567890123456/demo-1.0.zip"


def stamp(inode: int = 1, changed: float = 0.0) -> Stamp:
    """A stamp of a file that was changed at that time."""
    return (7, inode, 100, 5, int(changed * 1e9))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf with a small file, on which everything has been for a while."""
    made = Shelf(tmp_path)
    made.prepare()
    made.small = SmallFiles(now=lambda: time.time() + 60)
    made.write(KEY, b"wheel")
    return made


def look(shelf: Shelf) -> Found:
    """The file as it is now."""
    found = shelf.look(KEY)
    assert found is not None
    return found


def remembered(shelf: Shelf) -> bytes | None:
    """What is in memory of it."""
    return shelf.small.get(KEY, look(shelf).stamp)


def test_contents_are_those_of_a_stamp() -> None:
    small = SmallFiles(now=lambda: 100.0)
    small.put(KEY, stamp(), b"wheel")
    assert small.get(KEY, stamp()) == b"wheel"
    assert small.get(KEY, stamp(inode=2)) is None
    assert small.get("another", stamp()) is None
    small.put(KEY, stamp(inode=2), b"other")
    assert (small.get(KEY, stamp()), small.get(KEY, stamp(inode=2))) == (None, b"other")
    small.drop(KEY)
    assert small.get(KEY, stamp(inode=2)) is None


def test_what_was_changed_just_now_is_not_kept() -> None:
    """It may change once more without another stamp."""
    small = SmallFiles(now=lambda: 100.0)
    small.put(KEY, stamp(), b"before")
    small.put(KEY, stamp(changed=100.0 - SETTLED / 2), b"wheel")
    assert small.get(KEY, stamp(changed=100.0 - SETTLED / 2)) is None
    assert small.get(KEY, stamp()) is None
    small.put(KEY, stamp(changed=100.0 - SETTLED), b"wheel")
    assert small.get(KEY, stamp(changed=100.0 - SETTLED)) == b"wheel"


def test_what_is_not_used_makes_way() -> None:
    """There is room for three."""
    small = SmallFiles(3 * (ENTRY + 1000), now=lambda: 100.0)
    for key in "abc":
        small.put(key, stamp(), b"x" * 1000)
    assert small.get("a", stamp()) is not None
    small.put("d", stamp(), b"x" * 1000)
    small.put("d", stamp(inode=2), b"y" * 1000)
    assert [key for key in "abc" if small.get(key, stamp()) is None] == ["b"]
    small.put("large", stamp(), b"x" * 10_000)
    assert [key for key in (*"abcd", "large") if small.get(key, stamp()) is not None] == []
    small.put("e", stamp(), b"")
    assert small.get("e", stamp()) == b""


def test_a_small_file_is_read_once(shelf: Shelf) -> None:
    assert remembered(shelf) is None
    assert shelf.read(look(shelf), 1, 3) == b"he"
    assert remembered(shelf) == b"wheel"
    assert shelf.read(look(shelf), 0, 5) == b"wheel"
    assert not shelf.in_use(KEY)


def test_a_large_file_stays_on_the_disk(shelf: Shelf) -> None:
    shelf.path(KEY).write_bytes(b"x" * SMALL + b"end")
    assert shelf.read(look(shelf), SMALL - 1, SMALL + 3) == b"xend"
    assert remembered(shelf) is None
    assert not shelf.in_use(KEY)


@pytest.mark.parametrize("content", [b"other", b"oth", b"x" * SMALL * 2])
def test_what_was_looked_at_is_read_or_nothing(shelf: Shelf, content: bytes) -> None:
    """Nobody is given the bytes of one file with the head of another."""
    found = look(shelf)
    shelf.path(KEY).rename(shelf.spool / "before")  # so that its inode is not used again
    shelf.write(KEY, content)
    assert shelf.read(found, 0, 5) is None
    assert shelf.open_found(found) is None
    assert not shelf.in_use(KEY)
    assert shelf.read(look(shelf), 0, len(content)) == content


def test_a_file_that_is_gone_leaves_the_memory(shelf: Shelf) -> None:
    found = look(shelf)
    assert shelf.read(found, 0, 5) == b"wheel"
    shelf.remove(KEY)
    assert shelf.look(KEY) is None
    assert shelf.small.get(KEY, found.stamp) is None
