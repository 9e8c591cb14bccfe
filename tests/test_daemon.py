"""The daemon as a process, by each of the programs that start it: it answers, it ends, it says what is wrong."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from attrs import define, field, frozen

from pypicache import __version__

pytestmark = pytest.mark.daemon

TREE = Path(__file__).resolve().parent.parent
PATIENCE = 30  # seconds until a test is given up

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
TWIST = [sys.executable, "-c", "from twisted.application.twist._twist import Twist; Twist.main()"]
COMMAND = [sys.executable, "-m", "pypicache.cli"]
FOREGROUND = {
    "twistd": [*TWISTD, "--nodaemon", "--pidfile=", "pypicache"],
    "twist": [*TWIST, "pypicache"],
    "serve": [*COMMAND, "serve"],
}
DOORS = FOREGROUND | {"daemonised": [*TWISTD, "--pidfile=pid", "--logfile=log", "pypicache"]}

# Makes an inherited socket look as if systemd had passed it, then becomes the daemon.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="pypicache.socket", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@frozen
class Ended:
    """What a process left behind."""

    code: int
    out: str
    err: str


@define
class Running:
    """A process in the foreground; its output goes to files, so that it never waits for a reader."""

    place: Path
    process: subprocess.Popen[bytes]

    def answer(self, port: int, path: str = "/+status") -> dict[str, object]:
        """Ask until there is somebody to answer.

        The pause between two attempts is the wait for the end of the process, which would be the end of the test.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ask(port, path)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, self.output()
                try:
                    self.process.wait(timeout=0.05)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(self.output())

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Ask the process to end, and wait until it did."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> Ended:
        """Wait for the end."""
        code = self.process.wait(timeout=PATIENCE)
        return Ended(code, (self.place / "out").read_text(), (self.place / "err").read_text())

    def output(self) -> str:
        """Everything that was written so far."""
        return (self.place / "out").read_text() + (self.place / "err").read_text()


@define
class Yard:
    """A directory in which processes are started; whatever still runs at the end is killed."""

    place: Path
    running: list[subprocess.Popen[bytes]] = field(factory=list)

    def start(
        self, *command: str, keep: tuple[int, ...] = (), environ: dict[str, str] | None = None, files: int | None = None
    ) -> Running:
        """Start a process in this directory.

        :param keep: file descriptors that it inherits.
        :param files: its soft limit of open files.
        """
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(self.place), "PYTHONPATH": str(TREE), **(environ or {})}

        def limit() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that put us into the background had it ignored
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

        with (self.place / "out").open("wb") as out, (self.place / "err").open("wb") as err:
            process = subprocess.Popen(  # noqa: S603  # commands of this module
                command, cwd=self.place, env=surroundings, stdout=out, stderr=err, pass_fds=keep, preexec_fn=limit
            )
        self.running.append(process)
        return Running(self.place, process)

    def run(self, *command: str) -> Ended:
        """Run a process to its end."""
        return self.start(*command).ended()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A place to start processes in."""
    made = Yard(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def busy() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def ask(port: int, path: str) -> dict[str, object]:
    """The JSON answer of the daemon."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, body
    answer: dict[str, object] = json.loads(body)
    return answer


def quiet(port: int) -> list[str]:
    """Flags of a daemon that asks nobody outside."""
    return ["--port", str(port), "--state", "state", "--offline-mode"]


@pytest.mark.parametrize("door", FOREGROUND)
def test_it_answers_and_ends(door: str, yard: Yard, port: int) -> None:
    daemon = yard.start(*FOREGROUND[door], *quiet(port))
    assert daemon.answer(port)["type"] == "status"
    ended = daemon.end()
    assert ended.code in {0, -signal.SIGTERM}
    assert "Traceback" not in ended.out + ended.err
    assert f"pypicache {__version__} on http://127.0.0.1:{port}/" in ended.out
    assert f"pip install -i http://127.0.0.1:{port}/root/pypi/+simple/ PACKAGE" in ended.out
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/+status")


def test_serve_ends_well_with_each_signal(yard: Yard, port: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = yard.start(*FOREGROUND["serve"], *quiet(port))
        daemon.answer(port)
        assert daemon.end(number).code == 0


def test_it_becomes_a_daemon(yard: Yard, port: int) -> None:
    (yard.place / "pypicache.toml").write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nstate = "state"\noffline = true\n'
    )
    alive, inherited = os.pipe()
    starter = yard.start(*DOORS["daemonised"], "--config", "pypicache.toml", keep=(inherited,))
    os.close(inherited)
    assert starter.ended() == Ended(0, "", "")
    # The starting process ends when the daemon listens: the first attempt must succeed.
    assert ask(port, "/+status")["type"] == "status"
    os.kill(int((yard.place / "pid").read_text()), signal.SIGTERM)
    # The daemon holds the other end of the pipe until it is gone.
    assert select.select([alive], [], [], PATIENCE)[0] == [alive]
    os.close(alive)
    assert not (yard.place / "pid").exists()
    log = (yard.place / "log").read_text()
    assert f"pip install -i http://127.0.0.1:{port}/root/pypi/+simple/ PACKAGE" in log
    assert "Traceback" not in log


def test_any_reactor_may_be_chosen(yard: Yard, port: int) -> None:
    daemon = yard.start(*TWIST, "--reactor=poll", "pypicache", *quiet(port))
    daemon.answer(port)
    assert daemon.end().code in {0, -signal.SIGTERM}


def test_log_lines_for_machines(yard: Yard, port: int) -> None:
    daemon = yard.start(*FOREGROUND["serve"], *quiet(port), "--log-format", "json")
    daemon.answer(port)
    lines = [json.loads(line) for line in daemon.end().out.splitlines()]
    assert f"pypicache {__version__} on http://127.0.0.1:{port}/" in [line.get("line") for line in lines]


def test_settings_come_from_the_environment(yard: Yard, port: int) -> None:
    environ = {"PYPICACHE_LISTEN": f"127.0.0.1:{port}", "PYPICACHE_STATE": "elsewhere", "PYPICACHE_OFFLINE": "yes"}
    daemon = yard.start(*FOREGROUND["serve"], environ=environ)
    daemon.answer(port)
    daemon.end()
    assert (yard.place / "elsewhere").is_dir()


def test_as_many_files_as_the_system_allows(yard: Yard, port: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    daemon = yard.start(*FOREGROUND["serve"], *quiet(port), files=256)
    daemon.answer(port)
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize("socket_is", ["index=0", "name=pypicache.socket"])
def test_a_socket_of_systemd(socket_is: str, yard: Yard) -> None:
    flags = ["--state", "state", "--offline-mode", "--listen", f"systemd:domain=INET:{socket_is}"]
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        port = int(passed.getsockname()[1])
        number = passed.fileno()
        daemon = yard.start(sys.executable, "-c", ACTIVATED, str(number), *FOREGROUND["serve"], *flags, keep=(number,))
    assert daemon.answer(port)["type"] == "status"
    ended = daemon.end()
    assert ended.code == 0
    assert f"on http://127.0.0.1:{port}/" in ended.out


def test_without_systemd_there_is_no_socket_of_it(yard: Yard) -> None:
    ended = yard.run(*FOREGROUND["serve"], "--state", "state", "--listen", "systemd:domain=INET:index=0")
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(r"pypicache: systemd passed no such socket: .*\n", ended.err)


def test_status_asks_a_running_daemon(yard: Yard, port: int) -> None:
    daemon = yard.start(*FOREGROUND["serve"], *quiet(port))
    daemon.answer(port)
    asked = subprocess.run(  # noqa: S603  # a command of this module
        [*COMMAND, "status", "--url", f"http://127.0.0.1:{port}/"],
        cwd=TREE, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (asked.returncode, asked.stderr) == (0, "")
    assert f"pypicache {__version__}" in asked.stdout
    assert "root/pypi" in asked.stdout


def test_passwords_and_tokens_of_a_running_daemon(yard: Yard, port: int) -> None:
    daemon = yard.start(*FOREGROUND["serve"], *quiet(port))
    daemon.answer(port)

    def command(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # a command of this module
            [*COMMAND, *arguments, "--url", f"http://127.0.0.1:{port}"],
            cwd=TREE, input=lines, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    assert command("\nsafe\n", "passwd", "root").returncode == 0
    refused = command("\nother\n", "passwd", "root")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"pypicache: http://127.0.0.1:{port}: user 'root' could not be authenticated\n"
    limits = ("--index", "root/dev", "--project", "demo", "--verb", "upload", "--days", "2")
    made = command("safe\n", "token", "create", "root", *limits)
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"pypicache-[0-9a-f]{16}-\S{43}\n", made.stdout)
    request = Request(f"http://127.0.0.1:{port}/+api", headers={"Authorization": f"Bearer {made.stdout.strip()}"})
    with urlopen(request) as answer:  # noqa: S310  # of this machine
        assert json.load(answer)["result"]["authstatus"] == ["ok", "root", []]
    assert stat.S_IMODE((daemon.place / "state/secret").stat().st_mode) == 0o600


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-size", "much"], "--max-size = 'much': expected a size"),
        (["--port", "http"], "--port = 'http': expected a whole number"),
        (["--config", "none.toml"], "none.toml: cannot be read: No such file or directory"),
        (["--colour"], "--colour"),
        (["word"], ""),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_wrong_settings_are_one_line(door: str, flags: list[str], said: str, yard: Yard) -> None:
    ended = yard.run(*DOORS[door], *flags)
    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(r"pypicache: .+\n", ended.err)
    assert said in ended.err
    assert not list(yard.place.glob("pid*"))


@pytest.mark.parametrize("door", DOORS)
def test_a_port_that_is_taken(door: str, yard: Yard, busy: int) -> None:
    said_by(door, yard, yard.run(*DOORS[door], *quiet(busy)), f"Address already in use: cannot listen on tcp:{busy}:")


@pytest.mark.parametrize("door", DOORS)
def test_a_state_directory_that_cannot_be_made(door: str, yard: Yard, port: int) -> None:
    (yard.place / "file").touch()
    ended = yard.run(*DOORS[door], "--port", str(port), "--state", "file/state")
    said_by(door, yard, ended, f"state = '{yard.place}/file/state'"[:40])


def said_by(door: str, yard: Yard, ended: Ended, sentence: str) -> None:
    """Check that a daemon did not start, and said why in one line where the operator looks."""
    log = (yard.place / "log").read_text() if door == "daemonised" else ""
    assert ended.code == 1
    assert "Traceback" not in ended.out + ended.err + log
    assert not list(yard.place.glob("pid*"))
    # twistd sends what goes to stderr to its log, which is stdout in the foreground; the parent of a daemon tells too.
    places = {"twistd": [ended.out], "daemonised": [ended.err, log]}.get(door, [ended.err])
    for text in places:
        assert [line for line in text.splitlines() if sentence in line][1:] == []
        assert sentence in text
