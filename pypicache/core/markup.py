"""The tags of an HTML document, read in linear time and as they arrive.

Index pages are flat: links and what surrounds them. So no tree is built, because building one takes quadratic time for
some documents (deep nesting, many attributes on one tag), and these pages come from elsewhere. What is a tag, a comment
or a text is decided as the HTML standard says (section 13.2.5, "Tokenization").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from html.entities import html5
from typing import NamedTuple

from pypicache.core.errors import BadInput

MOST_PENDING = 2**20  # characters of one tag, comment or script that may be open when the next chunk arrives

# Possessive throughout: a document cannot make this go back and try again.
_TAG = re.compile(
    r"""(</?+[a-zA-Z][^ \t\n\f\r/>]*+)
    (?:
        [ \t\n\f\r/]++
    |
        [^ \t\n\f\r/>][^ \t\n\f\r/>=]*+
        (?:
            [ \t\n\f\r]*+=[ \t\n\f\r]*+ (?: "[^"]*+" | '[^']*+' | [^ \t\n\f\r>"'][^ \t\n\f\r>]*+ | (?=>) )
        |
            (?![ \t\n\f\r]*+=)
        )
    )*+>""",
    re.VERBOSE,
)
_NAME = re.compile(r"<[^ \t\n\f\r/>]+")
_ATTRIBUTE = re.compile(
    r"""([^ \t\n\f\r/>][^ \t\n\f\r/>=]*)(?:[ \t\n\f\r]*=[ \t\n\f\r]*(?:"([^"]*)"|'([^']*)'|([^ \t\n\f\r>]*)))?"""
)
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)", re.DOTALL)
_REFERENCE = re.compile(r"&(?:#[xX]([0-9a-fA-F]+)|#([0-9]+)|([a-zA-Z][a-zA-Z0-9]*))(;?)")
# What is between these and their end tags is text, whatever it looks like.
_RAW = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}


class Piece(NamedTuple):
    """A start tag, an end tag, or a piece of text."""

    name: str  # lower case; with a leading slash for an end tag; empty for text
    source: str  # as it stands in the document


class _Step(NamedTuple):
    piece: Piece | None
    end: int  # where to go on
    raw: re.Pattern[str] | None  # what ends the script or title that begins there


def pieces(chunks: Iterable[str]) -> Iterator[Piece]:
    """The tags and texts of a document that arrives in chunks, in order; comments, scripts and titles are left out.

    A tag that is never closed ends the document, as in a browser.

    :raises BadInput: one tag, comment or script takes more than :data:`MOST_PENDING` characters and goes on.
    """
    buffer = ""
    raw: re.Pattern[str] | None = None
    for chunk in chunks:
        if len(buffer) > MOST_PENDING:
            raise BadInput(f"the HTML document has a tag, comment or script of more than {MOST_PENDING} characters")
        buffer += chunk
        at = 0
        while (step := _step(buffer, at, raw)) is not None:
            piece, at, raw = step
            if piece is not None:
                yield piece
        buffer = buffer[at:]


def attributes(source: str) -> dict[str, str]:
    """The attributes of a tag: names in lower case, values with their character references resolved.

    An attribute without a value has the empty text; of several with the same name the first counts.
    """
    found: dict[str, str] = {}
    name = _NAME.match(source)
    for key, double, single, bare in _ATTRIBUTE.findall(source, name.end() if name else 0, len(source) - 1):
        value = double or single or bare
        found.setdefault(key.lower(), plain(value) if "&" in value else value)
    return found


def plain(text: str) -> str:
    """A text with its character references resolved, as the HTML standard does it in attributes."""
    return _REFERENCE.sub(_resolved, text)


def _step(buffer: str, at: int, raw: re.Pattern[str] | None) -> _Step | None:
    """The next piece from ``at`` on; ``None`` if it does not end in this buffer."""
    if raw is not None:
        found = raw.search(buffer, at)
        return None if found is None else _Step(None, found.start(), None)
    start = buffer.find("<", at)
    if start != at:
        end = len(buffer) if start < 0 else start
        return _Step(Piece("", buffer[at:end]), end, None) if end > at else None
    tag = _TAG.match(buffer, start)
    if tag is not None:
        name = tag[1][1:].lower()
        return _Step(Piece(name, tag[0]), tag.end(), _RAW.get(name))
    follows = buffer[start + 1 : start + 3]
    if follows[:1].isascii() and (follows[:1].isalpha() or (follows[:1] == "/" and follows[1:].isalpha())):
        return None
    if buffer.startswith("<!--", start):
        comment = _COMMENT.match(buffer, start)
        return None if comment is None else _Step(None, comment.end(), None)
    if follows[:1] in {"!", "?", "/"}:
        end = buffer.find(">", start)
        return None if end < 0 else _Step(None, end + 1, None)
    return _Step(Piece("", "<"), start + 1, None) if follows else None


def _resolved(reference: re.Match[str]) -> str:
    """The character a reference stands for, or the reference itself if it is none."""
    hexadecimal, decimal, name, semicolon = reference.groups()
    if name is not None:
        if semicolon:
            return html5.get(name + ";", reference[0])
        follows = reference.string[reference.end() : reference.end() + 1]
        return reference[0] if follows == "=" else html5.get(name, reference[0])
    digits = (hexadecimal or decimal).lstrip("0")
    number = int(digits or "0", 16 if hexadecimal else 10) if len(digits) < 9 else 0
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    return unescape(f"&#{number};") if 0x80 <= number < 0xA0 else chr(number)
