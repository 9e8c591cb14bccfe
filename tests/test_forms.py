"""Forms of uploaders: read in one piece or in many, the result is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from multipart import PushMultipartParser
from twisted.internet.defer import Deferred, maybeDeferred

from pypicache.core.errors import BadInput
from pypicache.store.incoming import Incoming
from pypicache.web.forms import FormIntake

BOUNDARY = "b-0"
NAMES = ("name", ":action", "a.b-c_d", "é", "a%22b", 'a"; x="b', "")
HEADS = (
    'Content-Disposition: form-data; name="{}"',
    "Content-Disposition: form-data; name={}",
    'content-disposition: form-data; name="{}"',
    'Content-Disposition: form-data; name="{}"\r\nContent-Type: text/plain; charset=utf-8',
    'Content-Disposition: form-data; name="{}"\r\nContent-Length: 3',
    'Content-Disposition: form-data; name="{}"; filename="a-1.0.whl"',
    'Content-Disposition: form-data; name="{}"\r\n folded',
    'Content-Disposition: attachment; name="{}"',
)
VALUES = (b"", b"1.0", b"\xc3\xa9", b"\xff", b"\0", b"a\r\n\r\nb", b"\r\n--b-", b"--b-0", b"\r\n--b-0x", b"\r\n--b-0\n")
PARTS = st.tuples(st.sampled_from(HEADS), st.sampled_from(NAMES), st.sampled_from(VALUES))


class _Request:
    """What a form needs of a request while nothing has to be synced."""


def read(*pieces: bytes) -> Any:
    """What a form says: its texts and its file; ``None`` if it is refused."""
    spooled: list[Incoming] = []

    def spool(name: str) -> Incoming:
        spooled.append(Incoming(Path("/nowhere"), name, 1000))
        return spooled[-1]

    async def nothing(*_: Any) -> None:
        pass

    intake = FormIntake(
        _Request(),  # type: ignore[arg-type]
        f"multipart/form-data; boundary={BOUNDARY}",
        judge=nothing, answer=nothing, spool=spool, in_thread=maybeDeferred,
    )  # fmt: skip
    Deferred.fromCoroutine(intake.admit())
    try:
        for piece in pieces:
            intake.take(piece)
        return intake.form().fields, [(file.name, file.open().read()) for file in spooled]
    except BadInput:
        return None


def body_of(parts: list[tuple[str, str, bytes]], end: bytes = b"\r\n--b-0--\r\n") -> bytes:
    """A form of these heads, names and values."""
    written = [head.format(name).encode() + b"\r\n\r\n" + value for head, name, value in parts]
    return b"--b-0\r\n" + b"\r\n--b-0\r\n".join(written) + end


@given(st.lists(PARTS, max_size=6), st.sampled_from([b"\r\n--b-0--\r\nmore", b"\r\n--b-0-", b"\r\n--b", b""]))
def test_one_piece_or_many(parts: list[tuple[str, str, bytes]], end: bytes) -> None:
    """Bytes that come one by one are all read by the parser."""
    body = body_of(parts, end)
    assert read(body) == read(*(body[at : at + 1] for at in range(len(body))))


@given(st.lists(PARTS, min_size=1, max_size=4), st.data())
def test_cut_anywhere(parts: list[tuple[str, str, bytes]], data: st.DataObject) -> None:
    """The first piece may end in the middle of anything."""
    body = body_of(parts)
    cut = data.draw(st.integers(1, len(body)))
    assert read(*filter(None, (body[:cut], body[cut:]))) == read(body)


def test_usual_texts_do_not_reach_the_parser(monkeypatch: Any) -> None:
    """It would take most of the time."""
    given_: list[bytes] = []
    parse = PushMultipartParser.parse

    def noted(parser: Any, chunk: bytes) -> Any:
        given_.append(chunk)
        return parse(parser, chunk)

    monkeypatch.setattr(PushMultipartParser, "parse", noted)
    parts = [(HEADS[0], "name", b"demo"), (HEADS[0], "version", b"1.0"), (HEADS[5], "content", b"wheel")]
    assert read(body_of(parts)) == ({"name": ("demo",), "version": ("1.0",)}, [("a-1.0.whl", b"wheel")])
    assert given_ == [body_of(parts[2:])]
