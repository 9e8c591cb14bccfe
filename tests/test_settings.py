"""What an operator may write, in every place where it may be written, and what is said about mistakes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pypicache import settings as module
from pypicache.core.errors import BadInput
from pypicache.settings import KEYS, ROOT, Settings, load
from pypicache.settings_text import effective, example
from pypicache.settings_values import (
    toml,
)

TREE = Path(__file__).resolve().parent.parent
UP = "http://up.example/simple/"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file."""

    def written(text: str) -> Path:
        file = tmp_path / "pypicache.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def refused(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, file: Path | None = None
) -> str:
    """The one line that is said about wrong settings."""
    with pytest.raises(BadInput) as caught:
        load(flags or {}, environ or {}, file)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load({}, {}, None)
    assert settings == Settings()
    assert settings.listen == ("tcp:3141:interface=127.0.0.1:backlog=2048",)
    assert settings.address == ("127.0.0.1", 3141)
    assert settings.state == tmp_path / ".pypicache"
    assert (settings.outside_url, settings.ca_bundle) == (None, None)
    assert (settings.offline, settings.no_root_pypi) == (False, False)
    assert (settings.request_timeout, settings.log_format) == (5, "text")
    assert (settings.max_size, settings.max_page_size) == (50 * 2**30, 100 * 2**20)
    assert (settings.mirror_cache_expiry, settings.client_max_age, settings.refresh_ahead) == (1800, 600, 86400)
    assert settings.upstream_connections == 64


def test_without_indexes_there_is_the_mirror_of_pypi() -> None:
    (root,) = load({}, {}, None).indexes
    assert root.name == "root/pypi"
    assert root.url is not None
    assert re.fullmatch(r"https://[a-z.]+/simple/", root.url.base)
    assert root.web_url_format == root.url.base.replace("/simple/", "/project/{name}/")
    assert (root.title, root.volatile) == ("PyPI", False)


def test_each_source_wins_over_the_one_before(write: Write) -> None:
    file = write("[cache]\nclient_max_age = 1\nmirror_cache_expiry = 1\nrefresh_ahead = 1\n")
    environ = {"PYPICACHE_MIRROR_CACHE_EXPIRY": "2", "PYPICACHE_REFRESH_AHEAD": "2"}
    settings = load({"refresh-ahead": "3"}, environ, file)
    assert (settings.client_max_age, settings.mirror_cache_expiry, settings.refresh_ahead) == (1, 2, 3)
    assert {name: settings.sources[name] for name in ("client_max_age", "mirror_cache_expiry", "refresh_ahead")} == {
        "client_max_age": f"file {file}",
        "mirror_cache_expiry": "environment PYPICACHE_MIRROR_CACHE_EXPIRY",
        "refresh_ahead": "flag --refresh-ahead",
    }
    assert settings.sources["state"] == "default"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_setting_can_be_made_in_every_place(key: module.Key, write: Write, tmp_path: Path) -> None:
    bundle = tmp_path / "empty.pem"
    text = {"ca_bundle": str(bundle), "log_format": "json", "listen": "tcp:1", "state": "/srv", "offline": "true"}
    text |= {"no_root_pypi": "on", "private_networks": "on", "outside_url": "http://here.example"}
    text |= {"database": "sqlite:////srv/ledger"}
    wanted = text.get(key.name, "7")
    if key.name == "ca_bundle":  # a wrong file shows as well that it was read
        bundle.touch()
        file = write(f"[server]\nca_bundle = {toml(wanted)}\n")
        assert "server.ca_bundle" in refused(file=file)
        assert "PYPICACHE_CA_BUNDLE" in refused(environ={"PYPICACHE_CA_BUNDLE": wanted})
        assert "--ca-bundle" in refused({"ca-bundle": wanted})
        return
    expected = key.read("test", wanted)
    assert expected != getattr(Settings(), key.name)
    assert getattr(load({}, {}, write(f"[{key.section}]\n{key.name} = {toml(wanted)}\n")), key.name) == expected
    assert getattr(load({}, {key.variable: wanted}, None), key.name) == expected
    for flag in key.flags:
        assert getattr(load({flag: True if key.is_switch else wanted}, {}, None), key.name) == expected


def test_absent_flags_and_empty_variables_say_nothing() -> None:
    flags: dict[str, object] = {"state": None, "offline-mode": False, "listen": [], "host": None, "port": None}
    assert load(flags, {"PYPICACHE_STATE": ""}, None) == Settings()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("request_timeout = 0", "server.request_timeout = 0: expected a duration of more than 0"),
        ('offline = "perhaps"', "server.offline = 'perhaps': expected true or false"),
        ('log_format = "xml"', "server.log_format = 'xml': expected text or json"),
        ('state = ""', "server.state = '': expected a path"),
        ('state = "~nobody-has-this-name/x"', "no such home directory"),
        ("state = 5", "server.state = 5: expected a path"),
        ('outside_url = "ftp://here.example"', "server.outside_url = 'ftp://here.example': expected a URL"),
        ('outside_url = "http://here.example:port/"', "expected a URL"),
        ('outside_url = "http://here.example/?a"', "expected a URL"),
        ('outside_url = "http:///x"', "expected a URL"),
        ('ca_bundle = "/nonexistent.pem"', "No such file"),
        ("stat = 1", "server.stat is not a setting; did you mean state?"),
        ("max_size = 1", "server.max_size is not a setting"),
        ("zzz = 1", "server.zzz is not a setting; expected one of ca_bundle, database, listen"),
    ],
)
def test_mistakes_in_the_server_section(line: str, said: str, write: Write) -> None:
    file = write(f"[server]\n{line}\n")
    sentence = refused(file=file)
    assert said in sentence
    assert sentence.startswith(f"{file}: ")


@pytest.mark.parametrize("value", ["0", "1001", "1.0", '"x"', "true", "[]"])
def test_connections_have_bounds(value: str, write: Write) -> None:
    assert "expected a whole number from 1 to 1000" in refused(file=write(f"[cache]\nupstream_connections = {value}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sever]\n", "sever is not a section; did you mean server?"),
        ("server = 1\n", "expected a table, [server]"),
        ("indexes = 1\n", "expected a table, [indexes]"),
        ("[zzz]\n", "zzz is not a section; expected one of cache, indexes, server, users"),
        ("[server\n", "expected a TOML file"),
    ],
)
def test_mistakes_in_the_shape_of_the_file(text: str, said: str, write: Write) -> None:
    assert said in refused(file=write(text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert (
        refused(file=tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    )
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    assert "expected a TOML file" in refused(file=tmp_path / "latin.toml")


def test_a_certificate_authority_needs_a_certificate(tmp_path: Path) -> None:
    bundle = tmp_path / "authorities.pem"
    for text in ("", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        bundle.write_text(text)
        assert "expected a file with a certificate" in refused({"ca-bundle": str(bundle)})


def test_a_certificate_authority_is_found_again(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    bundle = tmp_path / "authority.pem"
    bundle.write_bytes(certificate.public_bytes(Encoding.PEM))
    settings = load({"ca-bundle": str(bundle)}, {}, None)
    assert settings.ca_bundle == bundle
    assert evolve(settings).ca_bundle == bundle


def test_a_path_may_be_relative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"state": "here"}, {}, None).state == tmp_path / "here"


def test_the_slash_at_the_end_of_the_outside_url_is_dropped() -> None:
    assert load({"outside-url": "https://here.example/pypi/"}, {}, None).outside_url == "https://here.example/pypi"


def test_typos_in_variables_are_found_and_those_of_container_platforms_are_not() -> None:
    assert (
        refused(environ={"PYPICACHE_OFLINE": "1"})
        == "PYPICACHE_OFLINE is not a setting; did you mean PYPICACHE_OFFLINE?"
    )
    platform = {"PYPICACHE_PORT": "tcp://10.0.0.1:3141", "PYPICACHE_SERVICE_HOST": "10.0.0.1", "PYPICACHE_VERSION": "1"}
    assert load({}, platform, None) == Settings()


def test_flags_that_contradict_each_other() -> None:
    assert "--state says the same" in refused({"state": "/a", "serverdir": "/b"})
    assert refused({"offline": True}) == "--offline is not a flag; did you mean offline-mode?"


def test_declared_indexes(write: Write) -> None:
    file = write(f"""
        [indexes."team/up"]
        type = "mirror"
        mirror_url = "{UP}"
        mirror_cache_expiry = "10 min"
        volatile = false
        custom_data = {{ a = [1] }}
    """)
    root, team = load({}, {}, file).indexes
    assert root.name == ROOT
    assert (team.name, str(team.url), team.cache_expiry, team.volatile) == ("team/up", UP, 600, False)
    assert [spec.name for spec in load({"no-root-pypi": True}, {}, file).indexes] == ["team/up"]
    assert load({"no-root-pypi": True}, {}, None).indexes == ()


def test_a_declared_root_pypi_takes_the_place_of_the_default_one(write: Write) -> None:
    (mine,) = load({}, {}, write(f'[indexes."root/pypi"]\ntype = "mirror"\nmirror_url = "{UP}"\n')).indexes
    assert (str(mine.url), mine.title, mine.web_url_format) == (UP, None, None)
    (changed,) = load({}, {}, write('[indexes."root/pypi"]\ntype = "mirror"\nmirror_cache_expiry = 5\n')).indexes
    assert changed == evolve(Settings().indexes[0], cache_expiry=5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"team/up" = 5', 'indexes."team/up" = 5: expected a table'),
        ('team = { type = "mirror" }', "expected user/index"),
        ('"a/b" = { type = "stage" }', "indexes.\"a/b\".type = 'stage': expected one of the known types: mirror"),
        ('"a/b" = {}', 'indexes."a/b".type is missing: expected one of the known types: mirror'),
        ('"a/b" = { type = "mirror" }', 'indexes."a/b".mirror_url is missing'),
        (
            '"a/b" = { type = "mirror", mirror_ur = "x" }',
            'indexes."a/b".mirror_ur is not an option of a mirror index; did',
        ),
        ('"a/b" = { type = "mirror", bases = [] }', 'indexes."a/b".bases is not an option of a mirror index'),
        ('"a/b" = { type = "mirror", mirror_url = "up" }', "indexes.\"a/b\".mirror_url = 'up': expected a URL"),
        ('"root/pypi" = { type = "mirror", mirror_url = 5 }', 'indexes."root/pypi".mirror_url = 5: expected a text'),
        (
            f'"a/b" = {{ type = "mirror", mirror_url = "{UP}", mirror_cache_expiry = "x" }}',
            "indexes.\"a/b\".mirror_cache_expiry = 'x': expected a duration",
        ),
    ],
)
def test_mistakes_in_indexes(text: str, said: str, write: Write) -> None:
    assert said in refused(file=write(f"[indexes]\n{text}\n"))


@pytest.mark.parametrize(
    "url",
    ["http://user:geheim@up.example:port/", "user:geheim@up.example", "http://u:ge/heim@up.example/", "htp://geheim@x"],
)
def test_credentials_are_never_said(url: str, write: Write) -> None:
    index = '[indexes."a/b"]\ntype = "mirror"\nmirror_url = '
    for sentence in (
        refused(file=write(f'{index}"{url}"\n')),
        refused(file=write(f'{index}["{url}"]\n')),
        refused({"outside-url": url}),
        refused(environ={"PYPICACHE_OUTSIDE_URL": url}),
        refused(file=write(f'server = "{url}"\n')),
    ):
        assert "heim" not in sentence
        assert "= " in sentence
        assert "expected" in sentence


def test_the_settings_in_effect_say_where_they_come_from(write: Write) -> None:
    index = '[indexes."team/up"]\ntype = "mirror"\nmirror_url = "http://user:geheim@up.example/simple/"\n'
    file = write(f'[server]\nrequest_timeout = "2 s"\n{index}')
    environ = {"PYPICACHE_MAX_SIZE": "unlimited", "PYPICACHE_MAX_PAGE_SIZE": "1025"}
    settings = load({"offline-mode": True}, environ, file)
    text = effective(settings)
    assert "geheim" not in text
    for line in (
        f"request_timeout = 2  # file {file}",
        'max_size = "unlimited"  # environment PYPICACHE_MAX_SIZE',
        "max_page_size = 1025  # environment PYPICACHE_MAX_PAGE_SIZE",
        "offline = true  # flag --offline-mode",
        "# outside_url is unset  # default",
        f'[indexes."team/up"]  # file {file}',
        f'mirror_url = "http://****:****@up.example/simple/"  # file {file}',
        '[indexes."root/pypi"]  # default',
        'title = "PyPI"  # default',
    ):
        assert line in text.splitlines()
    again = load({}, {}, write(text))
    assert evolve(again, indexes=()) == evolve(settings, indexes=())


def test_the_example_file_holds_every_setting_with_its_default() -> None:
    text = (TREE / "etc/pypicache.toml").read_text(encoding="utf-8")
    assert text == example(), "write it again with: pypicache config --example > etc/pypicache.toml"
    assert load({}, {}, TREE / "etc/pypicache.toml") == Settings()
    uncommented = tomllib.loads(re.sub(r"^#(?=[a-z_\[])", "", text, flags=re.MULTILINE))
    for key in KEYS:
        shown = uncommented[key.section][key.name]
        assert shown == (key.example if key.default is None else key.default)
    assert {key.name for key in KEYS} == set(uncommented["server"]) | set(uncommented["cache"])


def test_the_example_can_be_used_when_uncommented(write: Write) -> None:
    text = re.sub(r"^#(?=[a-z_\[])(?!ca_bundle|secret_file)", "", example(), flags=re.MULTILINE)
    settings = load({}, {}, write(text))
    unset: dict[str, Any] = {"outside_url": None, "restrict_modify": None, "database": None, "users": {}, "indexes": ()}
    assert evolve(settings, **unset) == evolve(Settings(), indexes=())
    assert [spec.name for spec in settings.indexes] == ["root/pypi", "team/upstream"]
    assert list(settings.users) == ["root"]


def test_the_documentation_names_every_setting() -> None:
    text = (TREE / "docs/configuration.rst").read_text(encoding="utf-8")
    for key in KEYS:
        for word in (key.name, key.variable, *(f"--{flag}" for flag in key.flags)):
            assert f"``{word}``" in text


def test_a_wrong_value_cannot_be_made() -> None:
    with pytest.raises(BadInput, match="upstream_connections = 0"):
        Settings(upstream_connections=0)
