"""The daemon is killed while a webhook has yet to hear of an upload, and while uploads are under way."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from attrs import define, field

from tests.ring_one.publishing import BOUNDARY, Dist, multipart, plain, wheel
from tests.ring_two.harness import Answer, Daemon, UpstreamProcess, eventually, fetch

pytestmark = pytest.mark.daemon

ALICE = {"Authorization": "Basic " + b64encode(b"alice:pw").decode()}
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@define
class Receiver:
    """A webhook."""

    url: str = ""
    healthy: Event = field(factory=Event)
    told: list[tuple[str, list[str]]] = field(factory=list)  # delivery, names of files


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that is not healthy yet."""
    made = Receiver()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names = [change["name"] for change in content["changes"] if change["event"] == "file"]
            made.told.append((self.headers["X-Pypicache-Delivery"], names))
            self.send_response(204 if made.healthy.is_set() else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Take) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def daemon(tmp_path: Path, upstream: UpstreamProcess, receiver: Receiver) -> Iterator[Daemon]:
    """A daemon with the index ``alice/dev``, whose webhook is the receiver."""
    with Daemon(tmp_path / "daemon", upstream.url, server={"private_networks": True}) as daemon:
        fetch(f"{daemon.url}/alice", JSON, "PUT", b'{"password": "pw"}')
        options = json.dumps({"webhook_url": receiver.url}).encode()
        made = fetch(f"{daemon.url}/alice/dev", {**JSON, **ALICE}, "PUT", options)
        assert (made.status, made.json()["result"]["webhook_url"]) == (200, receiver.url)
        yield daemon


def upload(daemon: Daemon, dist: Dist) -> Answer:
    """Upload a wheel of ``demo``."""
    version = dist.name.split("-")[1]
    headers = {**ALICE, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return fetch(f"{daemon.url}/alice/dev/", headers, "POST", multipart(plain(dist, version=version), dist))


def fsck(daemon: Daemon) -> tuple[int, str]:
    """The exit code of ``pypicache fsck``, and the last line that it prints."""
    command = [sys.executable, "-m", "pypicache.cli", "fsck", "--state", str(daemon.state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own program
    return done.returncode, done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_what_a_webhook_was_not_told_is_told_after_a_kill(daemon: Daemon, receiver: Receiver) -> None:
    """At least once, and each time under the same name."""
    dist = wheel()
    assert upload(daemon, dist).status == 200
    eventually(lambda: receiver.told, "the webhook is told for the first time")
    daemon.kill()
    before = len(receiver.told)
    receiver.healthy.set()
    daemon.start()
    eventually(lambda: len(receiver.told) > before, "the webhook is told again")
    assert set(map(str, receiver.told)) == {str((receiver.told[0][0], [dist.name]))}
    daemon.stop()
    count = len(receiver.told)
    daemon.start()
    assert upload(daemon, wheel(version="2.0")).status == 200
    eventually(lambda: len(receiver.told) > count, "the webhook is told of the next upload")
    assert receiver.told[count][1] == [wheel(version="2.0").name]


def test_killed_in_the_middle_of_uploads(daemon: Daemon) -> None:
    """What was acknowledged is listed, with its bytes; what lies about besides is found by ``pypicache fsck``."""
    acknowledged: list[str] = []
    for round_ in range(4):
        dists = [wheel(version=f"{round_}.{each}", size=50_000) for each in range(12)]
        begun = Event()

        def send(dists: list[Dist] = dists, begun: Event = begun) -> None:
            for dist in dists:
                try:
                    if upload(daemon, dist).status == 200:
                        acknowledged.append(dist.name)
                except (OSError, HTTPException):
                    return
                if len(acknowledged) % 5 == 3:
                    begun.set()

        sender = Thread(target=send)
        sender.start()
        assert begun.wait(20)
        daemon.kill()
        sender.join()
        daemon.start()
    page = fetch(f"{daemon.url}/alice/dev/+simple/demo/", {"Accept": "application/vnd.pypi.simple.v1+json"})
    listed = {file["filename"]: file["url"] for file in page.json()["files"]}
    assert set(acknowledged) <= set(listed)
    code, said = fsck(daemon)
    assert (code, said.split(",")[0]) == (0, "0 files are not what was uploaded"), said
