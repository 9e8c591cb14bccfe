"""Pages compressed piece by piece: every client reads them, and no piece is compressed twice."""

from __future__ import annotations

import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicache.core import pieces
from pypicache.core.pieces import SHORTEST, Gzipped, cut, gzipped

FILES = 2_000


def line(number: int) -> bytes:
    """What a page says of one file."""
    digest = sha256(b"%d" % number).hexdigest()
    return (
        f'<a href="/root/pypi/+f/{digest[:3]}/{digest[3:16]}/demo-{number}.zip#sha256={digest}">{number}</a>\n'.encode()
    )


LINES = [line(number) for number in range(FILES)]
PAGE = b"".join(LINES)


def expanded(body: bytes) -> bytes:
    """What a client makes of it that reads one member, and nothing after it."""
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    page = reader.decompress(body)
    assert (reader.eof, reader.unused_data) == (True, b"")
    return page


def compressed(page: bytes, before: Gzipped | None, monkeypatch: pytest.MonkeyPatch) -> tuple[Gzipped, int]:
    """A page in gzip, and how many bytes were compressed for it."""
    seen = 0
    deflated = pieces.deflated

    def counting(piece: memoryview) -> bytes:
        nonlocal seen
        seen += len(piece)
        return deflated(piece)

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "deflated", counting)
        return gzipped(cut(page), before), seen


CHANGES = st.lists(
    st.tuples(
        st.integers(0, FILES), st.integers(0, FILES // 2), st.lists(st.integers(0, 5_000).map(line), max_size=300)
    ),
    min_size=1,
    max_size=5,
)


@given(CHANGES)
def test_whatever_changes_it_is_what_it_would_be_afresh(changes: list[tuple[int, int, list[bytes]]]) -> None:
    lines, before = LINES, gzipped(cut(PAGE))
    digests = {cut(PAGE).digest: PAGE}
    for at, gone, new in changes:
        lines = [*lines[:at], *new, *lines[at + gone :]]
        page = b"".join(lines)
        before = gzipped(cut(page), before)
        assert before == gzipped(cut(page))
        assert expanded(before.body) == page
        assert digests.setdefault(cut(page).digest, page) == page


@pytest.mark.parametrize("at", [0, 3, FILES // 2, FILES])
@pytest.mark.parametrize("gone", [0, 1, 20])
def test_only_what_changed_is_compressed(at: int, gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, all_of_it = compressed(PAGE, None, monkeypatch)
    page = b"".join([*LINES[:at], line(9_999), *LINES[at + gone :]])
    _, some = compressed(page, before, monkeypatch)
    assert all_of_it == len(PAGE) > 8 * SHORTEST
    assert 0 < some < len(PAGE) / 3
    assert compressed(PAGE, before, monkeypatch) == (before, 0)


@pytest.mark.parametrize("page", [b"", b"x", b"x" * 10 * SHORTEST, PAGE[:SHORTEST]])
def test_one_piece(page: bytes) -> None:
    """There is nothing to remember of it."""
    whole = gzipped(cut(page))
    assert (expanded(whole.body), dict(whole.spans)) == (page, {})


def test_hardly_larger_than_compressed_in_one_go() -> None:
    packer = zlib.compressobj(pieces.GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
    whole = packer.compress(PAGE) + packer.flush()
    assert len(gzipped(cut(PAGE)).body) < len(whole) * 1.02
