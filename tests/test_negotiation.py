"""What clients ask for in Accept, Accept-Encoding, Cache-Control and User-Agent, and what they get."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypicache.web.negotiation import (
    Coding,
    Format,
    choose_coding,
    choose_format,
    is_installer,
    prefers_simple_json,
    wants_json,
    wants_revalidation,
)

V1_JSON = "application/vnd.pypi.simple.v1+json"
V1_HTML = "application/vnd.pypi.simple.v1+html"
LATEST_JSON = "application/vnd.pypi.simple.latest+json"
LATEST_HTML = "application/vnd.pypi.simple.latest+html"
PIP = f"{V1_JSON}, {V1_HTML}; q=0.1, text/html; q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PIP_AGENT = 'pip/{} {{"ci":null,"installer":{{"name":"pip","version":"{}"}},"python":"3.11.2"}}'


def test_content_types_are_the_exact_bytes_that_clients_compare() -> None:
    assert [format_.content_type for format_ in Format] == [
        b"application/vnd.pypi.simple.v1+json",
        b"application/vnd.pypi.simple.v1+html; charset=utf-8",
        b"text/html; charset=utf-8",
    ]


def test_every_pair_of_format_and_coding_has_letters_of_its_own() -> None:
    endings = {format_.letter + coding.letter for format_ in Format for coding in Coding}
    assert endings == {"j", "jg", "jz", "v", "vg", "vz", "h", "hg", "hz"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        # What real clients send.
        (PIP, Format.JSON),
        (f"{V1_JSON}, {V1_HTML};q=0.2, text/html;q=0.01", Format.JSON),
        (f"{V1_JSON}, */*;q=0.1", Format.JSON),
        (BROWSER, Format.HTML),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Format.HTML),
        ("*/*", Format.HTML),
        ("image/png, *;q=0.1", Format.HTML),
        ("text/html", Format.HTML),
        (None, Format.HTML),
        # The letter of the decision table.
        (V1_JSON, Format.JSON),
        (V1_HTML, Format.V1_HTML),
        (LATEST_JSON, Format.JSON),
        (LATEST_HTML, Format.V1_HTML),
        (f"{V1_JSON}, {V1_HTML}, text/html", Format.JSON),
        (f"text/html, {V1_HTML}", Format.V1_HTML),
        (f"{V1_HTML}, */*", Format.V1_HTML),
        ("text/*", Format.HTML),
        ("application/*", Format.JSON),
        ("application/*, text/*", Format.HTML),
        ("application/*, text/*;q=0.9", Format.JSON),
        ("application/*, text/html", Format.HTML),
        ("application/*, */*", Format.HTML),
        # Weights.
        (f"{V1_JSON};q=0, text/html", Format.HTML),
        (f"{V1_JSON};q=0.5, text/html;q=0.6", Format.HTML),
        (f"{V1_JSON};q=0.5, {V1_HTML};q=0.6", Format.V1_HTML),
        (f"{V1_JSON};q=0.5, */*;q=0.5", Format.JSON),
        (f"{V1_JSON};q=0.5, */*", Format.HTML),
        ("text/html;q=0.5, */*", Format.JSON),
        ("text/html;q=0, */*", Format.JSON),
        ("text/*;q=0, */*", Format.JSON),
        (f"text/*;q=0, {V1_JSON};q=0, */*", Format.V1_HTML),
        ("application/*;q=0, */*", Format.HTML),
        (f"{V1_JSON};q=0, {LATEST_JSON};q=0.3", Format.JSON),
        (f"{V1_JSON};q=0.3, {LATEST_JSON};q=0", Format.JSON),
        (f"{V1_JSON} ; Q = 0 , text/html", Format.HTML),
        (f"{V1_JSON};q=0.000, text/html;q=.5", Format.HTML),
        (f"{V1_JSON};q=1.0, text/html;q=7", Format.JSON),
        (f"{V1_JSON};q=high, text/html;q=0.1", Format.HTML),
        (f"{V1_JSON};q=-1, text/html;q=0.1", Format.HTML),
        (f"{V1_JSON};q=\N{ARABIC-INDIC DIGIT ONE}, text/html;q=0.1", Format.HTML),
        # Nothing that we have.
        ("image/png", None),
        ("application/json", None),
        ("image/*, audio/*;q=0.5", None),
        (f"{V1_JSON};q=0", None),
        ("*/*;q=0", None),
        (f"text/html;q=0, {V1_HTML};q=0, {V1_JSON};q=0, */*", None),
        ("application/vnd.pypi.simple.v2+json", None),
        # How it is written.
        ("", Format.HTML),
        (" , ,", Format.HTML),
        (f";, ;q=1, {V1_JSON};", Format.JSON),
        (V1_JSON.upper(), Format.JSON),
        (f"text/html;q=0.1 , , {V1_JSON}", Format.JSON),
        ("text/html;charset=utf-8", Format.HTML),
        (f'image/png;note="a, {V1_HTML}"; q=1, text/html;q=0.2', Format.HTML),
        (f'text/html;note="a;q=0, \\"", {V1_JSON};q=0.5', Format.HTML),
        (f'text/html;note="never closed, {V1_JSON}', Format.HTML),
    ],
)
def test_format_by_accept(accept: str | None, expected: Format | None) -> None:
    assert choose_format(accept) is expected


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (V1_JSON, Format.JSON),
        (V1_HTML, Format.V1_HTML),
        ("text/html", Format.HTML),
        (LATEST_JSON, Format.JSON),
        (LATEST_HTML, Format.V1_HTML),
        ("application/vnd.pypi.simple.v1 json", Format.JSON),
        ("application/vnd.pypi.simple.v1 html", Format.V1_HTML),
        (f" {V1_JSON.upper()} ", Format.JSON),
        ("", None),
        ("json", None),
        ("*/*", None),
        ("application/json", None),
        (f"{V1_JSON};q=1", None),
    ],
)
@pytest.mark.parametrize("accept", [None, PIP, BROWSER, "image/png"])
def test_format_parameter_wins_over_accept(parameter: str, expected: Format | None, accept: str | None) -> None:
    assert choose_format(accept, parameter) is expected


ranges = st.sampled_from([V1_JSON, V1_HTML, "text/html", "text/*", "application/*", "*/*", "image/png"])
weights = st.integers(0, 10).map(lambda tenths: tenths / 10)


@given(st.dictionaries(ranges, weights, min_size=1, max_size=4))
def test_no_other_format_is_liked_more_and_order_has_no_meaning(liked: dict[str, float]) -> None:
    def weight(format_: Format) -> float:
        family = format_.media_type.split("/")[0]
        return next((liked[name] for name in (format_.media_type, f"{family}/*", "*/*") if name in liked), 0)

    members = [f"{name};q={value}" for name, value in liked.items()]
    chosen = {choose_format(", ".join(order)) for order in permutations(members)}
    assert len(chosen) == 1
    best = chosen.pop()
    heaviest = max(map(weight, Format))
    assert (best is None) == (heaviest == 0)
    assert best is None or weight(best) == heaviest


@given(st.text(alphabet=st.sampled_from('a/*,;q=.01"\\ \t+'), max_size=60))
def test_no_text_in_accept_makes_trouble(text: str) -> None:
    assert choose_format(text) in {None, *Format}
    assert choose_coding(text) in set(Coding)
    assert prefers_simple_json(text) is False


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PIP, True),
        (LATEST_JSON, True),
        (f"text/html, {V1_JSON};q=0.1", True),
        (V1_JSON.upper(), True),
        (f"{V1_JSON};q=0, text/html", False),
        (f"text/html;note={V1_JSON}", False),
        (V1_HTML, False),
        ("application/json", False),
        ("application/*", False),
        ("*/*", False),
        ("", False),
        (None, False),
    ],
)
def test_who_names_the_json_of_the_simple_api(accept: str | None, expected: bool) -> None:
    assert prefers_simple_json(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", True),
        ("text/html, Application/JSON;q=0.1", True),
        ("application/json;q=0", True),
        (PIP, False),
        ("*/*", False),
        (None, False),
    ],
)
def test_who_wants_json_of_the_devpi_protocol(accept: str | None, expected: bool) -> None:
    assert wants_json(accept) is expected


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (PIP_AGENT.format("24.0", "24.0"), True),
        ('uv/0.5.1 {"installer":{"name":"uv"}}', True),
        ("pex/2.1", True),
        ("setuptools/68.0 Python-urllib/3.11", True),
        ("distribute/0.6", True),
        ("Foo/1 pip/9", True),
        ("a b c pip/9", True),
        (" pip/9", True),
        ("pip", False),
        ("PIP/9", False),
        ("xpip/9", False),
        ("pip /9", False),
        ("twine/7.0.0 CPython/3.11", False),
        ("python-requests/2.32", False),
        ("devpi-client/7.2 (py3.11; linux)", False),
        ("poetry/2.5.1 CPython/3.11 Linux/6", False),
        ("Mozilla/5.0 (X11; Linux x86_64)", False),
        ("", False),
        (None, False),
    ],
)
def test_who_is_an_installer(user_agent: str | None, expected: bool) -> None:
    assert is_installer(user_agent) is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        # What real clients send.
        ("gzip, deflate", Coding.GZIP),
        ("gzip, deflate, zstd", Coding.ZSTD),
        ("zstd,gzip,deflate", Coding.ZSTD),
        ("gzip, deflate, br, zstd", Coding.ZSTD),
        ("identity", Coding.IDENTITY),
        (None, Coding.IDENTITY),
        ("", Coding.IDENTITY),
        # Weights.
        ("gzip;q=0", Coding.IDENTITY),
        ("gzip;q=0.000, zstd;q=0.0", Coding.IDENTITY),
        ("gzip;q=0.001", Coding.GZIP),
        ("zstd;q=0.5, gzip;q=0.6", Coding.GZIP),
        ("zstd;q=0.5, gzip;q=0.5, identity;q=0.5", Coding.ZSTD),
        ("gzip;q=0.5, identity;q=0.5", Coding.GZIP),
        ("gzip;q=0.5, identity", Coding.IDENTITY),
        ("gzip;q=0.5, identity;q=0.6", Coding.IDENTITY),
        ("*", Coding.ZSTD),
        ("*;q=0", Coding.IDENTITY),
        ("zstd;q=0, *", Coding.GZIP),
        ("zstd;q=0, gzip;q=0, *", Coding.IDENTITY),
        ("gzip, *;q=0", Coding.GZIP),
        ("identity, *;q=0.5", Coding.IDENTITY),
        ("identity;q=0", Coding.IDENTITY),
        ("gzip;q=soon", Coding.IDENTITY),
        # Names.
        ("x-gzip", Coding.GZIP),
        ("x-gzip;q=0.2, gzip;q=0", Coding.GZIP),
        ("GZip", Coding.GZIP),
        ("br", Coding.IDENTITY),
        ("gzipped", Coding.IDENTITY),
        ("deflate;note=gzip", Coding.IDENTITY),
    ],
)
def test_coding_by_accept_encoding(accept_encoding: str | None, expected: Coding) -> None:
    assert choose_coding(accept_encoding) is expected


def test_tokens_of_the_codings() -> None:
    assert {coding.token for coding in Coding} == {b"zstd", b"gzip", b"identity"}


@given(st.dictionaries(st.sampled_from(["zstd", "gzip", "identity", "*", "br"]), weights))
def test_a_coding_is_never_one_that_the_client_did_not_allow(liked: dict[str, float]) -> None:
    members = [f"{name};q={value}" for name, value in liked.items()]
    chosen = {choose_coding(",".join(order)) for order in permutations(members)}
    assert len(chosen) == 1
    best = chosen.pop()
    weight = {coding: liked.get(coding.token.decode(), liked.get("*", 0)) for coding in Coding}
    assert best is Coding.IDENTITY or weight[best] > 0
    assert weight[best] == max(weight.values())


OLD, NEW = PIP_AGENT.format("26.1.2", "26.1.2"), PIP_AGENT.format("26.2", "26.2")
UV = 'uv/0.13.8 {"installer":{"name":"uv"}}'


@pytest.mark.parametrize(
    ("cache_control", "pragma", "user_agent", "expected"),
    [
        (None, None, UV, False),
        ("no-cache", None, UV, True),
        ("no-cache", None, OLD, True),
        ("No-Cache", None, None, True),
        ('max-age=600, no-cache="x, y"', None, None, True),
        ("no-cached", None, None, False),
        ("max-age=600", None, UV, False),
        ("no-store", None, UV, False),
        (None, "no-cache", UV, True),
        (None, "No-Cache , other", UV, True),
        (None, "no-cached", UV, False),
        ("max-age=600", "no-cache", UV, False),
        ("max-age=0", None, OLD, False),
        ("max-age=0, no-cache", None, OLD, True),
        ("max-age=0", None, PIP_AGENT.format("9.0.3", "9.0.3"), False),
        ("max-age=0", None, "pip/26", False),
        ("max-age=0", None, "wrapper/1 pip/25.3", False),
        ("max-age=0", None, NEW, True),
        ("max-age=0", None, PIP_AGENT.format("26.2.1", "26.2.1"), True),
        ("max-age=0", None, PIP_AGENT.format("26.10", "26.10"), True),
        ("max-age=0", None, PIP_AGENT.format("27.0", "27.0"), True),
        ("max-age=0", None, UV, True),
        ("max-age=0", None, "Mozilla/5.0 (pip/1.0)", True),
        ("max-age=0", None, "pip/unknown", True),
        ("max-age=0", None, None, True),
        ("max-age=00", None, UV, True),
        ('Max-Age="0"', None, UV, True),
        ("max-age=01", None, UV, False),
        ("max-age=-0", None, UV, False),
        ("s-maxage=0", None, UV, False),
        ('note="no-cache, max-age=0"', None, UV, False),
        ("", "no-cache", UV, False),
    ],
)
def test_who_asks_for_a_look_at_the_upstream(
    cache_control: str | None, pragma: str | None, user_agent: str | None, expected: bool
) -> None:
    assert wants_revalidation(cache_control, pragma, user_agent) is expected
