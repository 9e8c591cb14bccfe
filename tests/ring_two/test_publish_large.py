"""A large upload to the real daemon, and a yank from the command line (conformance 66 and 67)."""

from __future__ import annotations

import socket
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from time import monotonic

import pytest

from tests.ring_two.harness import JSON_TYPE, Daemon, fetch

pytestmark = pytest.mark.daemon

MIB = 2**20
LARGE = 400  # MiB
GROWTH = 24 * MIB  # bytes that the daemon may grow by
BOUNDARY = "large-and-larger-0123456789"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
LOGIN = "Basic " + b64encode(b"team:s3cret-of-team").decode()
NAME = "demo-1.0.egg"


@pytest.fixture
def private(daemon: Daemon) -> Daemon:
    """A daemon with an index ``team/dev``."""
    user = b'{"password": "s3cret-of-team"}'
    assert fetch(f"{daemon.url}/team", JSON, "PUT", user).status == 201
    options = b'{"volatile": false}'
    assert fetch(f"{daemon.url}/team/dev", {**JSON, "Authorization": LOGIN}, "PUT", options).status == 200
    return daemon


def around() -> tuple[bytes, bytes]:
    """What stands before and after the file in the form."""
    fields = {":action": "file_upload", "name": "demo", "version": "1.0"}
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{NAME}"\r\n\r\n'
    return ("".join(parts) + head).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()


def begin(daemon: Daemon, size: int, login: str | None) -> socket.socket:
    """Send the head of an upload."""
    host, _, port = daemon.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=120)
    lines = ["POST /team/dev/ HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {size}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    lines += [f"Authorization: {login}"] if login else []
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def test_a_large_upload_takes_no_memory(private: Daemon) -> None:
    before, after = around()
    piece = bytes(range(256)) * (MIB // 256)
    digest = sha256()
    private.forget_peak()
    peak = private.memory("VmHWM")
    with begin(private, len(before) + LARGE * MIB + len(after), LOGIN) as connection:
        connection.sendall(before)
        for _ in range(LARGE):
            connection.sendall(piece)
            digest.update(piece)
        connection.sendall(after)
        sent = monotonic()
        answer = connection.recv(65536)
        waited = monotonic() - sent
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert waited < 15
    assert private.memory("VmHWM") - peak < GROWTH
    page = fetch(f"{private.url}/team/dev/+simple/demo/", {"Accept": JSON_TYPE}).json()
    assert page["files"][0]["hashes"] == {"sha256": digest.hexdigest()}
    assert private.spooled() == []


def test_a_large_upload_that_is_refused_can_be_read(private: Daemon) -> None:
    """The client sends everything before it reads, as twine does."""
    before, after = around()
    piece = bytes(MIB)
    with begin(private, len(before) + 100 * MIB + len(after), None) as connection:
        connection.sendall(before)
        for _ in range(100):
            connection.sendall(piece)
        connection.sendall(after)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 "), answer
    assert private.spooled() == []


def test_a_yank_from_the_command_line(private: Daemon) -> None:
    before, after = around()
    with begin(private, len(before) + 10 + len(after), LOGIN) as connection:
        connection.sendall(before + b"0123456789" + after)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    for arguments, yanked in ((("yank", "--reason", "broken"), "broken"), (("unyank",), None)):
        command = [sys.executable, "-m", "pypicache.cli", arguments[0], "team/dev", "demo", "1.0", *arguments[1:]]
        done = subprocess.run(  # noqa: S603 - a command of our own
            [*command, "--url", private.url], input="s3cret-of-team\n", capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"{NAME}\n"), done.stderr
        page = fetch(f"{private.url}/team/dev/+simple/demo/", {"Accept": JSON_TYPE}).json()
        assert page["files"][0].get("yanked") == yanked
