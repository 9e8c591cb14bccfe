"""Clients that leave in the middle leave nothing behind in the daemon."""

from __future__ import annotations

import http.client
import ssl
from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from OpenSSL.crypto import FILETYPE_PEM

from tests.ring_two.crowd import Crowd
from tests.ring_two.harness import Daemon, UpstreamProcess, eventually, fetch, free_port, sha256
from tests.ring_two.leavers import Leavers
from tests.test_agents import identity
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

SIZE = 2 * MEBIBYTE


def descriptors(daemon: Daemon) -> Counter[str]:
    """What the daemon has open, by kind or path."""
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{daemon.running.process.pid}/fd").iterdir():
        try:
            name = str(link.readlink())
        except FileNotFoundError:
            continue
        found["socket" if name.startswith("socket:") else name] += 1
    return found


def comes_to_rest(daemon: Daemon, before: Counter[str]) -> None:
    """The daemon has no more open than before; keep-alive connections to the upstream aside, which it may have had."""
    eventually(lambda: not descriptors(daemon) - before, f"no more open than {before}", 15)


def is_whole(daemon: Daemon, url: str, wheel: Path) -> None:
    """The file comes whole, and no traceback was written."""
    seen = Crowd([url]).run()[0]
    assert (seen.status, seen.error, seen.digest) == (200, None, sha256(wheel)), (seen, daemon.log()[-5000:])
    assert "Traceback" not in daemon.log()


def test_ten_thousand_leave_a_held_file(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """No descriptor stays open, and the next client is answered right."""
    wheel = build_wheel(upstream.root, "thing", "1.0", size=SIZE)
    url = daemon.file_url("thing", wheel.name)
    is_whole(daemon, url, wheel)
    before = descriptors(daemon)
    leavers = Leavers(url)
    leavers.run(10_000, 20)
    assert leavers.left >= 1_000, leavers
    assert leavers.got > leavers.left * 1_000, leavers
    comes_to_rest(daemon, before)
    is_whole(daemon, url, wheel)


def test_many_leave_a_file_that_still_arrives(upstream: UpstreamProcess, daemon: Daemon) -> None:
    """The same, while there is no more than half of the file."""
    wheel = build_wheel(upstream.root, "thing", "1.0", size=SIZE)
    url = daemon.file_url("thing", wheel.name)
    upstream.control(rules=[{"path": "*.whl", "hold": 50}])
    stays = Leavers(url, crowd=1, reads=(SIZE // 4,))
    before = descriptors(daemon)
    stays.run(1, 5)
    leavers = Leavers(url, reads=(0, 0, 1, 1, 200, 70_000))
    leavers.run(600, 8)
    assert leavers.left >= 100, leavers
    upstream.control(rules=[], release=True)
    is_whole(daemon, url, wheel)
    eventually(lambda: not any("thing-1.0" in name for name in descriptors(daemon)), "the file is closed", 15)
    eventually(lambda: (descriptors(daemon) - before)["socket"] <= 4, "the clients' connections are closed", 15)


def again_and_again(port: int, path: str, wheel: Path) -> None:
    """One client gets the file, and parts of it, several times over one encrypted connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    content = wheel.read_bytes()
    with closing(connection):
        for first, more in ((0, {}), (0, {"Cookie": "not=plain"}), (1_000_001, {}), (0, {}), (SIZE - 9, {}), (0, {})):
            connection.request("GET", path, headers={"Range": f"bytes={first}-", **more})
            assert connection.getresponse().read() == content[first:]


def test_many_leave_over_tls(upstream: UpstreamProcess, tmp_path: Path) -> None:
    """The same where the daemon has to encrypt."""
    wheel = build_wheel(upstream.root, "thing", "1.0", size=SIZE)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(identity("127.0.0.1").privateKey.dump(FILETYPE_PEM))
    certificate.write_bytes(identity("127.0.0.1").dumpPEM())
    plain, secret = free_port(), free_port()
    listen = [
        f"tcp:{plain}:interface=127.0.0.1",
        f"ssl:{secret}:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
    ]
    with Daemon(tmp_path / "daemon", upstream.url, server={"listen": listen}, port=plain) as daemon:
        url = daemon.file_url("thing", wheel.name)
        is_whole(daemon, url, wheel)
        before = descriptors(daemon)
        leavers = Leavers(url.replace(f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secret}"))
        again_and_again(secret, urlsplit(url).path, wheel)
        leavers.run(1_500, 12)
        assert leavers.left >= 100, leavers
        assert leavers.got > leavers.left * 1_000, leavers
        comes_to_rest(daemon, before)
        is_whole(daemon, url, wheel)
        assert fetch(f"{daemon.url}/+health/live").status == 200
