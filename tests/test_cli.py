"""The ``pypicache`` command: what it prints, and what it says when it cannot."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from attrs import define

from pypicache import __version__
from pypicache.cli import main
from pypicache.settings import KEYS
from pypicache.settings_text import example

STATUS = {"type": "status", "result": {"version": "9.8.7"}}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's configuration is seen."""
    for key in KEYS:
        monkeypatch.delenv(key.variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@define
class Site:
    """A site that gives one answer to everything."""

    url: str
    code: int = 200
    body: bytes = b""
    asked: tuple[str, str | None] = ("", None)  # path, Accept


@pytest.fixture
def site() -> Iterator[Site]:
    """A site on this machine."""
    made = Site("")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked = (self.path, self.headers["Accept"])
            self.send_response(made.code)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command says before it fails."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pypicache: ")
    assert err.index("\n") == len(err) - 1
    return err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pypicache {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "config"])
def test_the_help_lists_every_flag(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    words = capsys.readouterr().out.split()
    assert {f"--{flag}" for key in KEYS for flag in key.flags} <= set(words)


def test_config_prints_what_is_in_effect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[server]\nrequest_timeout = 2\n")
    assert main(["config", "-c", "x.toml", "--offline-mode", "--listen", "tcp:1", "--listen", "tcp:2"]) == 0
    out, err = capsys.readouterr()
    read = tomllib.loads(out)
    assert read["server"]["listen"] == ["tcp:1:backlog=2048", "tcp:2:backlog=2048"]
    assert read["server"]["offline"] is True
    assert "request_timeout = 2  # file x.toml" in out
    assert err == ""


def test_config_prints_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--example"]) == 0
    assert capsys.readouterr().out == example()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["config", "--colour"], "--colour"),
        (["config", "--offline"], "--offline"),
        (["config", "--max-size", "x"], "--max-size = 'x': expected a size"),
        (["serve", "--port", "x"], "--port = 'x': expected a whole number"),
        (["config", "--config", "none.toml"], "none.toml: cannot be read"),
        (["status", "--url", "up.example"], "--url = 'up.example': expected a URL"),
        (["status", "--config", "unix.toml"], "--url is missing"),
        (["token"], "COMMAND"),
        (["token", "create"], "USER"),
        (["token", "create", "root", "--verb", "fly"], "'fly'"),
        (["yank", "team/dev", "demo"], "VERSION"),
        (["yank", "team", "demo", "1.0"], "'team' is not an index name"),
        (["unyank", "team/dev", "demo", "1.0", "--reason", "x"], "--reason"),
        (["token", "create", "root", "--days", "0"], "--days = 0: expected at least 1"),
    ],
)
def test_mistakes(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "unix.toml").write_text('[server]\nlisten = ["unix:/run/x"]\n')
    assert said in refused(capsys, *arguments)


def test_status(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    site.body = json.dumps(STATUS).encode()
    assert main(["status", "--url", f"{site.url}/pypi/"]) == 0
    assert site.asked == ("/pypi/+status", "application/json")
    assert "9.8.7" in capsys.readouterr().out


def test_status_asks_where_the_configuration_listens(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site.body = json.dumps(STATUS).encode()
    port = site.url.rpartition(":")[2]
    (tmp_path / "x.toml").write_text(f'[server]\nlisten = ["unix:/run/x", "*:{port}"]\n')
    assert main(["status", "--config", "x.toml"]) == 0
    assert "9.8.7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "body"), [(404, b"{}"), (503, json.dumps(STATUS).encode()), (200, b"<html>"), (200, b"[]"), (200, b"{}")]
)
def test_status_of_something_else(code: int, body: bytes, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.code, site.body = code, body
    assert f"answered {code}, not with the status of pypicache" in refused(capsys, "status", "--url", site.url)


def test_status_of_nobody(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no answer: Connection refused" in refused(capsys, "status", "--url", "http://127.0.0.1:1")
