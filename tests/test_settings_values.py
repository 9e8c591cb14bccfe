"""How sizes, durations and places to listen on are written, read and written again."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pypicache.core.errors import BadInput
from pypicache.settings import Settings, load
from pypicache.settings_values import (
    duration,
    host_and_port,
    listen,
    size,
    size_or_unlimited,
    toml,
    toml_size,
    whole_seconds,
)


def refused(flags: Mapping[str, object]) -> str:
    """The one line that is said about wrong flags."""
    with pytest.raises(BadInput) as caught:
        load(flags, {}, None)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("*:3141", "tcp:3141:backlog=2048"),
        ("127.0.0.1:80", "tcp:80:interface=127.0.0.1:backlog=2048"),
        ("localhost:80", "tcp:80:interface=localhost:backlog=2048"),
        ("[::1]:80", r"tcp6:80:interface=\:\:1:backlog=2048"),
        ("tcp:80", "tcp:80:backlog=2048"),
        ("tcp:80:backlog=7", "tcp:80:backlog=7"),
        ("tcp:80:127.0.0.1:7", "tcp:80:127.0.0.1:7"),
        ("tcp6:80", "tcp6:80:backlog=2048"),
        ("tcp6:80:7", "tcp6:80:7"),
        ("unix:/run/x.socket:mode=660", "unix:/run/x.socket:mode=660"),
        ("systemd:domain=INET:index=0", "systemd:domain=INET:index=0"),
        ("systemd:domain=UNIX:name=web", "systemd:domain=UNIX:name=web"),
    ],
)
def test_places_to_listen_on(written: str, read: str) -> None:
    settings = load({"listen": [written]}, {}, None)
    assert settings.listen == (read,)
    assert evolve(settings).listen == (read,)


@pytest.mark.parametrize(
    "place",
    [
        "tcp",
        "tcp:x",
        "tcp:65536",
        "tcp:80:colour=red",
        "tcp:80:interface=1.2.3.999",
        "tcp:80:interface=[x",
        "carrier:1:2",
        "here",
        ":80",
        "localhost:65536",
        "unix",
        "ssl:443:privateKey=/nonexistent.pem",
        "systemd:INET",
        "systemd:domain=INET",
        "",
    ],
)
def test_places_nobody_can_listen_on(place: str) -> None:
    assert refused({"listen": [place]}).startswith("--listen = ")


def test_several_places() -> None:
    expected = ("tcp:1:backlog=2048", "unix:/x")
    assert load({"listen": ["tcp:1", "unix:/x"]}, {}, None).listen == expected
    assert load({}, {"PYPICACHE_LISTEN": " tcp:1  unix:/x "}, None).listen == expected
    wrong: list[object] = [[], [80], 80, "", {}]
    for value in wrong:
        with pytest.raises(BadInput, match=r"^x = "):
            listen("x", value)


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ({"port": "80"}, "tcp:80:interface=127.0.0.1"),
        ({"host": "*"}, "tcp:3141"),
        ({"host": "::1"}, r"tcp6:3141:interface=\:\:1"),
        ({"host": "[::]", "port": 0}, r"tcp6:0:interface=\:\:"),
        ({"host": "localhost", "port": "80"}, "tcp:80:interface=localhost"),
    ],
)
def test_host_and_port(flags: dict[str, object], place: str) -> None:
    settings = load(flags, {"PYPICACHE_LISTEN": "tcp:9"}, None)
    assert settings.listen == (f"{place}:backlog=2048",)
    assert settings.sources["listen"] == " ".join(f"flag --{name}" for name in flags)


@pytest.mark.parametrize(
    "flags",
    [
        {"port": "x"},
        {"port": "65536"},
        {"port": "-1"},
        {"port": "80", "listen": ["tcp:80"]},
        {"host": "a b"},
    ],
)
def test_wrong_host_or_port(flags: dict[str, object]) -> None:
    assert refused(flags).startswith("--")


@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("tcp:80", ("*", 80)),
        ("tcp:port=80:interface=127.0.0.1", ("127.0.0.1", 80)),
        ("tcp:80:10.0.0.1:5", ("10.0.0.1", 80)),
        (r"tcp6:80:interface=\:\:1", ("::1", 80)),
        ("unix:/x", None),
        ("systemd:domain=INET:index=0", None),
    ],
)
def test_host_and_port_of_an_endpoint(endpoint: str, place: tuple[str, int] | None) -> None:
    assert host_and_port(endpoint) == place
    assert Settings(listen=("unix:/x", endpoint)).address == (place or ("", 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1, 1),
        ("1", 1),
        ("10 B", 10),
        ("500 MB", 500_000_000),
        ("50 GiB", 50 * 2**30),
        ("1.5kib", 1536),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: object, expected: int) -> None:
    assert size("x", text) == expected
    assert size_or_unlimited("x", text) == expected


@pytest.mark.parametrize("text", [0, "0", "0 GiB", "unlimited", " Unlimited "])
def test_no_limit(text: object) -> None:
    assert size_or_unlimited("x", text) is None
    with pytest.raises(BadInput, match="expected a size"):
        size("x", text)


@pytest.mark.parametrize(
    "text",
    [-1, "-1", 1.5, "0.1 B", "5 GIGA", "GiB", "", "1e3", True, None, [1], float("nan"), float("inf"), 2**80, "٣"],
)
def test_no_sizes(text: object) -> None:
    with pytest.raises(BadInput, match=r"^x = .*expected a size"):
        size("x", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0, 0),
        (1.5, 1.5),
        ("90", 90),
        ("90 s", 90),
        ("500ms", 0.5),
        ("30 min", 1800),
        ("2 hours", 7200),
        ("1 day", 86400),
        ("0.5 d", 43200),
        ("1 week", 604800),
    ],
)
def test_durations(text: object, expected: float) -> None:
    assert duration("x", text) == expected


@pytest.mark.parametrize("text", [-1, "-5 s", "1 fortnight", "", True, None, float("nan"), float("inf"), 1e12, "1 s s"])
def test_no_durations(text: object) -> None:
    with pytest.raises(BadInput, match=r"^x = .*expected a duration"):
        duration("x", text)


def test_durations_that_must_be_whole() -> None:
    assert whole_seconds("x", 2.0) == 2
    with pytest.raises(BadInput, match="whole seconds"):
        whole_seconds("x", "1500 ms")


@given(st.integers(min_value=1, max_value=2**62))
def test_sizes_are_shown_as_they_are_read(count: int) -> None:
    assert size("x", tomllib.loads(f"x = {toml_size(count)}")["x"]) == count


_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("a.\"'\\ é\x7f\n"), inner),
)


@given(_VALUES)
def test_values_are_written_as_toml_reads_them(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}")["x"] == value
