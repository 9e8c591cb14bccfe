"""The reader of HTML tags: what a browser sees, whatever the chunks, in linear time."""

from __future__ import annotations

import time
from html import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from pypicache.core.errors import BadInput
from pypicache.core.markup import MOST_PENDING, Piece, attributes, pieces, plain

FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "<a",
            "<A ",
            "</a>",
            "<b>",
            "<!--",
            "-->",
            "--!>",
            "<!-",
            "<!x>",
            "<?",
            "</ ",
            "</>",
            ">",
            "<",
            "/",
            "=",
            '"',
            "'",
            " ",
            "\n",
            "href",
            "x=1",
            ' y="2"',
            " z='&lt;'",
            "&amp;",
            "&copy=",
            "&copy;",
            "&#65;",
            "&#x41",
            "é",
            "text",
        ]
    ),
    max_size=40,
).map("".join)


def seen_by_a_browser(document: str) -> list[dict[str, str]]:
    """The attributes of the links in a document, as another parser finds them."""
    return [
        {key: value or "" for key, value in link.attributes.items()} for link in LexborHTMLParser(document).css("a")
    ]


def seen_by_us(document: str) -> list[dict[str, str]]:
    return [attributes(source) for name, source in pieces([document]) if name == "a"]


def whole(found: list[Piece]) -> list[Piece]:
    """The same pieces, with neighbouring texts put together."""
    result: list[Piece] = []
    for piece in found:
        if result and not piece.name and not result[-1].name:
            result[-1] = Piece("", result[-1].source + piece.source)
        else:
            result.append(piece)
    return result


@given(FRAGMENTS)
@settings(deadline=None, max_examples=1000)
def test_links_are_those_a_browser_sees(document: str) -> None:
    assert seen_by_us("<p>" + document) == seen_by_a_browser("<p>" + document)


@given(FRAGMENTS, st.integers(1, 7))
@settings(deadline=None, max_examples=300)
def test_chunks_make_no_difference(document: str, size: int) -> None:
    chunks = [document[at : at + size] for at in range(0, len(document), size)]
    # What is left open at the end is text to one and nothing to the other.
    closed = document + "\">'>-->"
    assert whole(list(pieces([*chunks, "\">'>-->"]))) == whole(list(pieces([closed])))


@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])))
@settings(deadline=None)
def test_what_was_escaped_comes_back(text: str) -> None:
    assert attributes(f'<a x="{escape(text)}">') == {"x": text}
    assert attributes(f"<a x='{escape(text)}'>") == {"x": text}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("?a=1&copy=2&amp;b=3", "?a=1&copy=2&b=3"),
        ("&copy;&copy &copyx", "©© &copyx"),
        ("&#65;&#x41;&#065", "AAA"),
        ("&#0;&#xD800;&#x110000;&#" + "9" * 5000 + ";", "\ufffd" * 4),
        ("&#x80;&#1;", "€\x01"),
        ("&nonsense;&", "&nonsense;&"),
    ],
)
def test_character_references(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    "document",
    [
        '<!-- <a href="x"> -->',
        '<script>"<a href=x>"</script >',
        "<title><a href=x></title>",
        "<textarea></text><a href=x></textarea>",
        "<!DOCTYPE <a href=x>",
        "<style><a href=x>",
        "<!--><!-- <a> -->",
        "<a href='",
    ],
)
def test_what_is_no_link(document: str) -> None:
    assert seen_by_us(document) == []


def test_the_first_of_two_attributes_counts() -> None:
    assert attributes('<a HREF="1" href="2" data-x>') == {"href": "1", "data-x": ""}


@pytest.mark.parametrize("unit", ["<div>", "<a>", "<a ", "<a x='", "<!--", "</", "<", "<b x=1>", "<a/a=", "</a <!--"])
def test_hostile_documents_take_linear_time(unit: str) -> None:
    start = time.process_time()
    for _ in pieces([unit * 300_000]):
        pass
    assert time.process_time() - start < 10  # seconds; a quadratic reader needs hours


def test_many_attributes_take_linear_time() -> None:
    start = time.process_time()
    assert len(attributes("<a " + " ".join(f"x{number}=1" for number in range(100_000)) + ">")) == 100_000
    assert time.process_time() - start < 10  # seconds


def test_a_tag_without_end_is_not_kept_for_ever() -> None:
    chunks = ["<a x='" + "y" * MOST_PENDING, "y", "y"]
    with pytest.raises(BadInput, match="more than 1048576 characters"):
        list(pieces(chunks))
