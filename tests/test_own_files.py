"""Uploads on their way to the shelf: several together, and what is left when the disk does not take one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred

from pypicache.core.errors import NoRoom
from pypicache.store.incoming import IN_MEMORY
from pypicache.store.local import Shelf
from pypicache.store.own import Arrival, OwnFiles

SMALL, LARGE = b"small", b"large" * IN_MEMORY


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    """With an empty shelf."""
    shelf = Shelf(tmp_path)
    shelf.prepare()
    return OwnFiles(shelf, maybeDeferred)


def arrival(own: OwnFiles, name: str, content: bytes, **beside: bytes) -> Arrival:
    """Something that was uploaded."""
    incoming = own.incoming(name, 2 * len(content))
    incoming.take(content)
    return Arrival(incoming, f"a/b/+f/000/{name}/{name}", 1e9, {f".{end}": text for end, text in beside.items()})


def shelf(own: OwnFiles) -> dict[str, bytes]:
    """What is on it."""
    return {key: own.shelf.path(key).read_bytes() for key in own.shelf.walk()}


def spool(own: OwnFiles) -> list[bytes]:
    """What is in the spool."""
    return [place.read_bytes() for place in own.shelf.spool.iterdir()]


def test_several_are_kept_together(own: OwnFiles) -> None:
    """With what lies beside them, and the time they are given."""
    own.keep([arrival(own, "one", SMALL, metadata=b"m"), arrival(own, "two", SMALL * 2)])
    assert shelf(own) == {
        "a/b/+f/000/one/one": SMALL,
        "a/b/+f/000/one/one.metadata": b"m",
        "a/b/+f/000/two/two": SMALL * 2,
    }
    assert own.shelf.path("a/b/+f/000/one/one").stat().st_mtime == 1e9
    assert spool(own) == []


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_kept_again(own: OwnFiles, content: bytes) -> None:
    """As it is after a transaction that was not committed; only what the client sent is left, until it is discarded."""
    upload = arrival(own, "one", content)
    own.keep([upload])
    own.keep([upload])
    assert shelf(own) == {upload.key: content}
    assert len(spool(own)) == (content is LARGE)
    upload.incoming.discard()
    assert spool(own) == []
    assert shelf(own) == {upload.key: content}


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_a_place_that_cannot_be_made(own: OwnFiles, content: bytes) -> None:
    """Nothing stays in the spool but what the client sent."""
    (own.shelf.root / "a").write_text("in the way")
    uploads = [arrival(own, "one", content, metadata=b"m"), arrival(own, "two", SMALL)]
    with pytest.raises(NoRoom):
        own.keep(uploads)
    for upload in uploads:
        upload.incoming.discard()
    assert spool(own) == []


def test_synced_before_and_after_they_are_moved(own: OwnFiles, monkeypatch: Any) -> None:
    """All files before any has its name, each directory when all have theirs."""
    steps: list[str] = []

    def noted(name: str) -> None:
        real = getattr(os, name)

        def note(*arguments: Any) -> Any:
            steps.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, note)

    for name in ("fdatasync", "rename", "fsync"):
        noted(name)
    own.keep([arrival(own, "one", SMALL, metadata=b"m"), arrival(own, "two", SMALL)])
    assert steps == ["fdatasync"] * 3 + ["rename"] * 3 + ["fsync"] * 2
