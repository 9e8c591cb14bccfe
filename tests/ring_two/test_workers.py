"""Several processes on one socket: they answer as one, hear of every change, and are replaced when they die."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ring_two.crowd import Crowd
from tests.ring_two.harness import JSON_TYPE, Daemon, UpstreamProcess, eventually, fetch, listens, sha256
from tests.ring_two.tools import Tools
from tests.upstream.dists import MEBIBYTE, build_wheel

pytestmark = pytest.mark.daemon

WORKERS = 3
ROOT = {"Authorization": "Basic " + b64encode(b"root:").decode()}


@pytest.fixture
def crew(tmp_path: Path, upstream: UpstreamProcess) -> Iterator[Daemon]:
    """A daemon of several processes, all of which answer."""
    with Daemon(tmp_path / "daemon", upstream.url, server={"workers": WORKERS}) as running:
        eventually(lambda: len(at_work(running)) == WORKERS - 1, "the workers have started")
        yield running


def at_work(daemon: Daemon) -> list[int]:
    """The processes beside the daemon that accept connections."""
    return [int(worker["pid"]) for worker in daemon.status()["workers"] if worker["state"] == "answering"]


def requests_of(daemon: Daemon) -> list[int]:
    """How many requests each worker answered by itself."""
    return [worker["requests"] for worker in daemon.status()["workers"]]


def use(daemon: Daemon, url: str, until: int = 5) -> None:
    """Ask for something over new connections until every worker has answered it by itself."""

    def answered() -> bool:
        for _ in range(20):
            assert fetch(url, {"Accept": JSON_TYPE}).status == 200
        return min(requests_of(daemon)) >= until

    eventually(answered, f"all workers answer {url}")


def put(daemon: Daemon, path: str, content: object) -> None:
    """Make something by way of the JSON API."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", **ROOT}
    answer = fetch(f"{daemon.url}/{path}", headers, "PUT", json.dumps(content).encode())
    assert answer.status < 300, answer


def upload(daemon: Daemon, index: str, wheel: Path) -> None:
    """Upload a wheel as twine does."""
    name, version = wheel.name.split("-")[:2]
    fields = {":action": "file_upload", "protocol_version": "1", "name": name, "version": version}
    fields |= {"metadata_version": "2.1", "filetype": "bdist_wheel", "pyversion": "py3"}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--b\r\nContent-Disposition: form-data; name="content"; filename="{wheel.name}"\r\n\r\n'
    body = "".join([*parts, head]).encode() + wheel.read_bytes() + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b", **ROOT}
    answer = fetch(f"{daemon.url}/{index}/", headers, "POST", body)
    assert answer.status == 200, answer


def test_they_answer_as_one(upstream: UpstreamProcess, crew: Daemon, tools: Tools, tmp_path: Path) -> None:
    """Pages and files come from all processes, alike; the log has one line for each request, and they are counted."""
    wheel = build_wheel(upstream.root, "shared", "1.0", size=MEBIBYTE)
    url = crew.file_url("shared", wheel.name)
    page = f"{crew.simple}shared/"
    first = fetch(page, {"Accept": JSON_TYPE})
    use(crew, page)
    use(crew, url, 15)
    answers = [fetch(page, {"Accept": JSON_TYPE}) for _ in range(30)]
    varying = {"date", "cache-control"}
    heads = {tuple((k, v) for k, v in each.headers.items() if k not in varying) for each in [first, *answers]}
    assert len(heads) == 1
    assert {each.body for each in answers} == {first.body}
    visits = Crowd([url] * 30).run()
    assert Counter((each.status, each.digest) for each in visits) == {(200, sha256(wheel)): 30}
    assert fetch(url, {"Range": "bytes=100-199"}).body == wheel.read_bytes()[100:200]
    etag = first.headers["etag"]
    assert {fetch(page, {"Accept": JSON_TYPE, "If-None-Match": etag}).status for _ in range(20)} == {304}
    got = ("--no-deps", "-d", str(tmp_path / "got"))
    tools.run(tmp_path / "home", "pip", "download", *got, "-i", crew.simple, "shared").ok()
    assert sha256(tmp_path / "got" / wheel.name) == sha256(wheel)
    lines = eventually(lambda: re.findall(r"GET (\S+/shared/) (?:200|304) ", crew.log()), "the lines are written")
    assert len(lines) >= 1 + len(answers) + 20
    traffic = crew.status()["traffic"]
    assert traffic["page_hits"] >= len(answers)
    assert traffic["bytes_from_cache"] >= 30 * wheel.stat().st_size


def test_one_download_for_all_processes(upstream: UpstreamProcess, crew: Daemon) -> None:
    """A cold file that many ask for at once, of whichever process, is asked for once."""
    wheel = build_wheel(upstream.root, "cold", "1.0", size=8 * MEBIBYTE)
    url = crew.file_url("cold", wheel.name)
    visits = Crowd([url] * 40).run()
    assert Counter((each.status, each.error, each.digest) for each in visits) == {(200, None, sha256(wheel)): 40}
    assert len(upstream.requests(r"\.whl$")) == 1


def test_a_change_is_known_everywhere_when_it_is_acknowledged(crew: Daemon, tmp_path: Path) -> None:
    """Whoever asks after an upload was answered sees it, whichever process they meet."""
    put(crew, "root/dev", {"type": "stage", "bases": [], "volatile": True})
    page = f"{crew.url}/root/dev/+simple/grown/"
    for number in range(8):
        wheel = build_wheel(tmp_path, "grown", f"{number}.0", size=20_000)
        upload(crew, "root/dev", wheel)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: fetch(page, {"Accept": JSON_TYPE}), range(60)))
        assert {len(each.json()["files"]) for each in answers} == {number + 1}
    assert min(requests_of(crew)) > 0
    answer = fetch(f"{crew.url}/root/dev", {"Content-Type": "application/json", **ROOT}, "PATCH", b'["acl_read=root"]')
    assert answer.status == 200, answer
    assert {fetch(page, {"Accept": JSON_TYPE}).status for _ in range(40)} == {401}
    assert {fetch(page, {"Accept": JSON_TYPE, **ROOT}).status for _ in range(40)} == {200}


def test_requests_of_all_kinds_are_handed_on(upstream: UpstreamProcess, crew: Daemon) -> None:
    """What a worker cannot answer, the daemon does, on the same connection."""
    assert {fetch(f"{crew.url}/+api", {"Accept": "application/json"}).status for _ in range(20)} == {200}
    assert {fetch(f"{crew.simple}nothing/").status for _ in range(20)} == {404}
    build_wheel(upstream.root, "many", "1.0", size=200_000)
    url = crew.file_url("many", "many-1.0-py3-none-any.whl")
    use(crew, url)
    path = url.removeprefix(crew.url)
    page = "/root/pypi/+simple/many/"
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", crew.port, timeout=30)
        for target in (path, path, "/+api", path, page, page):
            connection.request("GET", target, headers={"Accept": JSON_TYPE if target == page else "*/*"})
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 0) == (200, True)
        connection.close()


def test_a_worker_that_dies_is_replaced(upstream: UpstreamProcess, crew: Daemon) -> None:
    """Its connections break; the others go on, and another one starts."""
    build_wheel(upstream.root, "going", "1.0")
    crew.page("going")
    before = at_work(crew)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: before[0] not in (pids := at_work(crew)) and len(pids) == len(before), "a new worker")
    assert before[1] in at_work(crew)
    use(crew, f"{crew.simple}going/")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_daemon(number: int, crew: Daemon) -> None:
    """However the daemon ends, nobody goes on to answer with what may be wrong by then."""
    pids = at_work(crew)
    crew.running.end(number)
    eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids), "the workers are gone")
    assert not listens(crew.port)


def test_a_download_may_end_when_the_daemon_stops(upstream: UpstreamProcess, crew: Daemon) -> None:
    """What a worker sends when the daemon is told to stop still comes to its end, if the client takes it soon."""
    wheel = build_wheel(upstream.root, "last", "1.0", size=30 * MEBIBYTE)
    url = crew.file_url("last", wheel.name)
    fetch(url)
    use(crew, url, 3)
    begun = threading.Event()
    crowd = Crowd([url] * 4, progress=lambda total: begun.set())
    with ThreadPoolExecutor(1) as pool:
        visits = pool.submit(crowd.run)
        assert begun.wait(20)
        crew.stop()
        assert {each.status for each in visits.result()} == {200}
