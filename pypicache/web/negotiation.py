"""What a client asks for in its headers: a format, a coding, a fresh look at the upstream. Pure functions of text.

Header fields that came in several lines are joined with ``", "`` before they get here (RFC 9110 section 5.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache

_MEMBER = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')  # of a comma separated list; commas in quotes are text
_PARAMETER = re.compile(r'(?:[^;"]|"(?:\\.|[^"\\])*"?)+')
SHORT_FORM = "application/x-www-form-urlencoded"  # a form without files
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_INSTALLER = re.compile(r"(?:[^ ]* )*(?:distribute|setuptools|pip|pex|uv)/")
_PIP = re.compile(r"(?:[^ ]* )*pip/(\d{1,6})(?:\.(\d{1,6}))?", re.ASCII)
_MAX_AGE_ZERO = re.compile(r'max-age="?0+"?', re.ASCII)

_PIP_REFRESHES_BY_INTENT = (26, 2)  # older ones send max-age=0 with every page (contract clients 3.2)


class Format(Enum):
    """A way to write a page of the simple API (contract clients 1.5), the most expressive first."""

    JSON = ("application/vnd.pypi.simple.v1+json", "", "j")  # poetry compares for equality, so no charset
    V1_HTML = ("application/vnd.pypi.simple.v1+html", "; charset=utf-8", "v")
    HTML = ("text/html", "; charset=utf-8", "h")

    __hash__ = object.__hash__  # that of Enum runs in Python, at every look into a dictionary

    def __init__(self, media_type: str, parameters: str, letter: str) -> None:
        self.media_type = media_type
        self.content_type = (media_type + parameters).encode("ascii")
        self.letter = letter  # stands for this format in an entity tag


class Coding(Enum):
    """A content coding, the one that we like best first (RFC 9110 section 8.4.1)."""

    ZSTD = ("zstd", "z")
    GZIP = ("gzip", "g")
    IDENTITY = ("identity", "")

    __hash__ = object.__hash__

    def __init__(self, name: str, letter: str) -> None:
        self.token = name.encode("ascii")
        self.letter = letter  # stands for this coding in an entity tag; nothing for the identity


_NAMED = {
    **{format_.media_type: format_ for format_ in Format},
    "application/vnd.pypi.simple.latest+json": Format.JSON,
    "application/vnd.pypi.simple.latest+html": Format.V1_HTML,
}
_CODINGS = {**{coding.token.decode("ascii"): coding for coding in Coding}, "x-gzip": Coding.GZIP}


def choose_format(accept: str | None, format_parameter: str | None = None) -> Format | None:
    """The format in which a client gets a page of the simple API.

    :param accept: the header field ``Accept``; ``None`` if there is none.
    :param format_parameter: the decoded value of ``?format=``; it wins over ``Accept``.
    :return: ``None`` if nothing that we have is acceptable, which is answered with 406.

    The highest weight wins. At equal weight a format that was named goes before one that a wildcard lets in, and the
    more expressive before the plainer; wildcards mean plain HTML, unless they exclude it (contract clients 1.5).
    """
    if format_parameter is not None:
        # A plus sign that was not quoted arrives as a blank.
        return _NAMED.get(format_parameter.strip().replace(" ", "+").lower())
    return _acceptable(accept or "")


@lru_cache(maxsize=256)  # clients send a handful of different values, and every request for a page asks
def _acceptable(accept: str) -> Format | None:
    """The best format for a value of ``Accept``."""
    named: dict[Format, float] = {}
    ranges: dict[str, float] = {}
    for media_range, weight in _weighed(accept):
        format_ = _NAMED.get(media_range)
        if format_ is not None:
            named[format_] = max(weight, named.get(format_, 0.0))
        else:
            # Some Java programs send a single star.
            media_range = "*/*" if media_range == "*" else media_range
            ranges[media_range] = max(weight, ranges.get(media_range, 0.0))
    if not named and not ranges:
        return Format.HTML

    def allowed_by_range(format_: Format) -> float:
        family = format_.media_type.partition("/")[0] + "/*"
        return ranges.get(family, ranges.get("*/*", 0.0))

    by_name = [(named.get(format_, 0.0), format_) for format_ in Format]
    by_range = [
        (0.0 if format_ in named else allowed_by_range(format_), format_)
        for format_ in (Format.HTML, Format.JSON, Format.V1_HTML)
    ]
    weight, best = max(by_name + by_range, key=lambda choice: choice[0])  # the first of equals
    return best if weight > 0 else None


def prefers_simple_json(accept: str | None) -> bool:
    """Tell whether a client names the JSON of the simple API (PEP 691) as something that it takes."""
    return any(_NAMED.get(media_range) is Format.JSON and weight > 0 for media_range, weight in _weighed(accept or ""))


def wants_json(accept: str | None) -> bool:
    """Tell whether a client of the devpi protocol wants JSON: it says so anywhere in Accept (contract devpi 1.4)."""
    return accept is not None and "application/json" in accept.lower()


def is_form(content_type: str | None) -> bool:
    """Tell whether a body is a form, as uploaders send it."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in {"multipart/form-data", SHORT_FORM}


def is_installer(user_agent: str | None) -> bool:
    """Tell whether a program that installs is asking, and not a person with a browser (contract devpi 1.10)."""
    return user_agent is not None and _INSTALLER.match(user_agent) is not None


def choose_coding(accept_encoding: str | None, offered: tuple[Coding, ...] = tuple(Coding)) -> Coding:
    """The content coding in which a client gets a body (RFC 9110 section 12.5.3).

    A client that excludes even the identity gets it nevertheless, because there is nothing better to send.

    :param offered: the codings in which the body exists, the best first; the identity is among them.
    """
    return _best_coding(accept_encoding or "", offered)


@lru_cache(maxsize=256)
def _best_coding(accept_encoding: str, offered: tuple[Coding, ...]) -> Coding:
    """The best coding for a value of ``Accept-Encoding``."""
    named: dict[Coding, float] = {}
    others = 0.0
    for name, weight in _weighed(accept_encoding):
        if name == "*":
            others = max(weight, others)
        elif name in _CODINGS:
            coding = _CODINGS[name]
            named[coding] = max(weight, named.get(coding, 0.0))
    weights = [(named.get(coding, others), coding) for coding in offered]
    weight, best = max(weights, key=lambda choice: choice[0])  # the first of equals
    return best if weight > 0 else Coding.IDENTITY


def wants_revalidation(cache_control: str | None, pragma: str | None, user_agent: str | None) -> bool:
    """Tell whether a client asks us to look at the upstream again before we answer (RFC 9111 section 5.2.1).

    ``no-cache`` always asks for it; ``Pragma: no-cache`` only without ``Cache-Control`` (RFC 9111 section 5.4).
    ``max-age=0`` does not when pip before 26.2 sends it: it does so with every page, meaning its own cache.
    """
    if cache_control is None:
        return pragma is not None and "no-cache" in _directives(pragma)
    directives = _directives(cache_control)
    if any(directive.partition("=")[0] == "no-cache" for directive in directives):
        return True
    return any(map(_MAX_AGE_ZERO.fullmatch, directives)) and not _pip_before_26_2(user_agent or "")


def _directives(field_value: str) -> list[str]:
    """The members of ``Cache-Control`` or ``Pragma``, in lower case."""
    return [member.strip().lower() for member in _MEMBER.findall(field_value)]


def _pip_before_26_2(user_agent: str) -> bool:
    """Tell whether a ``User-Agent`` is that of a pip which sends ``max-age=0`` without being told to."""
    found = _PIP.match(user_agent)
    return found is not None and (int(found[1]), int(found[2] or 0)) < _PIP_REFRESHES_BY_INTENT


def _weighed(field_value: str) -> Iterator[tuple[str, float]]:
    """The members of a list with weights (RFC 9110 section 12.4.2), in lower case, without their other parameters.

    Weights are between 0 and 1. A member whose weight cannot be read is left out.
    """
    for member in _MEMBER.findall(field_value):
        name, *parameters = _PARAMETER.findall(member) or [""]
        weight: float | None = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                number = _WEIGHT.fullmatch(value.strip())
                weight = min(1.0, float(number[1])) if number else None
                break
        if weight is not None and name.strip():
            yield name.strip().lower(), weight
