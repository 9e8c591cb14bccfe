"""Processes for tests: the upstream and the daemon, started on free ports, watched, and ended by their id."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urljoin, urlsplit

from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
SERVE = "from pypicache.cli import main; main()"
T = TypeVar("T")


def clean_environment(home: Path) -> dict[str, str]:
    """What a program sees of this machine: where programs are, and a home of its own; no setting of pip or uv."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(home),
        "XDG_CONFIG_DIRS": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def eventually(ask: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """Ask again and again until the answer is true, and return it.

    :raises AssertionError: it never was within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)  # the beat of the polling; what is waited for is the answer
    return answer


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@frozen(kw_only=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def fetch(url: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes | None = None) -> Answer:
    """Ask once, without redirects, caches or decoding.

    :raises OSError: no connection, or one that broke.
    :raises http.client.HTTPException: the connection was closed in the middle of the body.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        response = connection.getresponse()
        found = {key.lower(): value for key, value in response.getheaders()}
        return Answer(status=response.status, headers=found, body=response.read())
    finally:
        connection.close()


@define
class Running:
    """A process that a test started, with its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, command: list[str], log: Path, environment: Mapping[str, str]) -> Self:
        """Start a program in the project's directory; its output is appended to ``log``."""
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=ROOT, env=dict(environment), stdout=output, stderr=subprocess.STDOUT
            )
        return cls(process, log)

    def text(self) -> str:
        """All that the program has said."""
        return self.log.read_text(errors="replace")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait until the process is gone; its exit status is returned."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(20)


@define
class UpstreamProcess:
    """The upstream of :mod:`tests.upstream`, serving ``root``; a context that ends with the process."""

    root: Path
    log: Path
    port: int = field(factory=free_port)
    _running: Running | None = None

    def start(self) -> None:
        """Start it, on the same port each time, and wait until it serves."""
        command = [sys.executable, "-m", "tests.upstream", "--root", str(self.root), "--port", str(self.port)]
        self._running = Running.start(command, self.log, clean_environment(self.log.parent / "upstream-home"))
        eventually(lambda: listens(self.port), f"the upstream on port {self.port}")

    def stop(self) -> None:
        """End it; connections to it are refused from now on."""
        if self._running is not None:
            self._running.end(signal.SIGKILL)
            self._running = None

    @property
    def url(self) -> str:
        """Its simple index, with the final slash."""
        return f"http://127.0.0.1:{self.port}/simple/"

    def control(self, **order: object) -> None:
        """Send a control request, see :meth:`tests.upstream.server.Upstream.control`."""
        answer = fetch(f"http://127.0.0.1:{self.port}/+control", method="POST", body=json.dumps(order).encode())
        assert answer.status == 200, answer.body

    def requests(self, pattern: str = "", method: str = "GET") -> list[dict[str, Any]]:
        """The requests it got so far whose path contains the regular expression."""
        log = fetch(f"http://127.0.0.1:{self.port}/+log").json()
        return [each for each in log if each["method"] == method and re.search(pattern, each["path"])]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@define
class Daemon:
    """The daemon, configured with one mirror of an upstream; a context that ends with the process.

    :ivar directory: configuration and log lie here; the state directory is ``state`` below it unless another is given.
    :ivar options: more options of the mirror index.
    :ivar server: more keys of the table ``[server]``.
    """

    directory: Path
    mirror_url: str
    options: Mapping[str, object] = field(factory=dict)
    server: Mapping[str, object] = field(factory=dict)
    state: Path = field()
    port: int = field(factory=free_port)
    _running: Running | None = None

    @state.default
    def _below(self) -> Path:
        return self.directory / "state"

    @property
    def url(self) -> str:
        """Where the daemon is, without a final slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def index(self) -> str:
        """The mirror index, without a final slash."""
        return f"{self.url}/root/pypi"

    @property
    def simple(self) -> str:
        """The simple pages of the mirror index, with the final slash."""
        return f"{self.index}/+simple/"

    def configure(self) -> Path:
        """Write the configuration file."""
        settings: dict[str, dict[str, object]] = {
            "server": {"listen": [f"tcp:{self.port}:interface=127.0.0.1"], "state": str(self.state), **self.server},
            'indexes."root/pypi"': {"type": "mirror", "mirror_url": self.mirror_url, **self.options},
        }
        lines = []
        for table, values in settings.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "pypicache.toml"
        path.write_text("\n".join(lines))
        return path

    def start(self) -> None:
        """Start the daemon and wait until it says that it is ready."""
        command = [sys.executable, "-c", SERVE, "serve", "--config", str(self.configure())]
        environment = clean_environment(self.directory / "home") | {"PYTHONPATH": str(ROOT)}
        self._running = Running.start(command, self.directory / "daemon.log", environment)
        eventually(self.ready, "the daemon is ready", 30)

    def ready(self) -> bool:
        """Whether it answers its readiness question with yes.

        :raises AssertionError: it has ended by itself.
        """
        status = self.running.process.poll()
        assert status is None, f"the daemon ended with status {status}:\n{self.running.text()}"
        try:
            return fetch(f"{self.url}/+health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False

    @property
    def running(self) -> Running:
        """The process."""
        assert self._running is not None, "the daemon was not started"
        return self._running

    def stop(self) -> int:
        """End it in good order; its exit status."""
        return self.running.end()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.running.end(signal.SIGKILL)

    def log(self) -> str:
        """All that the daemon has logged."""
        return self.running.text()

    def status(self) -> dict[str, Any]:
        """The result part of ``/+status``."""
        answer = fetch(f"{self.url}/+status", {"Accept": "application/json"}).json()
        assert answer["type"] == "status", answer
        result: dict[str, Any] = answer["result"]
        return result

    def page(self, project: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A project's page, JSON."""
        return fetch(f"{self.simple}{project}/", {"Accept": JSON_TYPE, **(headers or {})})

    def file_url(self, project: str, filename: str) -> str:
        """Where the project's page says that a file is."""
        page = self.page(project)
        assert page.status == 200, (page.status, page.body, self.log())
        found: list[str] = [each["url"] for each in page.json()["files"] if each["filename"] == filename]
        assert len(found) == 1, page.body
        return urljoin(f"{self.simple}{project}/", found[0])

    def memory(self, key: str = "VmRSS") -> int:
        """Resident memory now (``VmRSS``) or at its highest (``VmHWM``), in bytes."""
        text = Path(f"/proc/{self.running.process.pid}/status").read_text()
        found = re.search(rf"{key}:\s+(\d+) kB", text)
        assert found is not None, text
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """Make ``VmHWM`` begin anew at the present use (proc(5), clear_refs)."""
        Path(f"/proc/{self.running.process.pid}/clear_refs").write_text("5")

    def kept(self) -> Iterator[tuple[Path, str]]:
        """Every file in the cache, with the 16 digits that its path promises."""
        for path in self.state.glob("+files/*/*/+f/*/*/*"):
            yield path, path.parts[-3] + path.parts[-2]

    def wrongly_kept(self) -> list[Path]:
        """The files in the cache whose bytes are not what their path says, ``.metadata`` files excepted."""
        return [
            path for path, digits in self.kept() if path.suffix != ".metadata" and not sha256(path).startswith(digits)
        ]

    def spooled(self) -> list[Path]:
        """What lies in the spool directory."""
        return [path for path in (self.state / "spool").glob("**/*") if path.is_file()]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self.stop()
            if error is not None:
                sys.stdout.write(f"--- the daemon's log ---\n{self.log()[-20000:]}\n")


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        digest: str = hashlib.file_digest(file, "sha256").hexdigest()
        return digest
