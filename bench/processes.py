"""Programs that the benchmark starts: run to their end, or kept running and ended by their process ids."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen


class Missing(Exception):
    """A program or package is not installed here; the text is the gap that the table names."""


class Failed(Exception):
    """A program ended with an error, or a server gave a wrong answer."""


@frozen
class Memory:
    """Memory of a process with its children, in MiB."""

    now: float  # VmRSS
    peak: float  # VmHWM, added up, so an upper bound


def program(name: str, *directories: Path) -> Path:
    """Where an installed program is.

    :raises Missing: nowhere.
    """
    places = [*map(str, directories), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Missing(f"{name} is not installed")
    return Path(found)


def plain_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment without anything that turns an installer to another index or through a proxy."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("PIP_", "UV_", "PROXPI_", "PYPICACHE_", "DEVPI"))
        and not name.upper().endswith("_PROXY")
    }
    return {**kept, "HOME": str(home), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", **more}


def run(command: Sequence[str | Path], environment: Mapping[str, str], limit: float = 600) -> str:
    """Run a program to its end and return what it printed.

    :param limit: seconds after which it is killed.
    :raises Failed: it ended with another status than 0, or not in time.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the commands are our own
            command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{Path(command[0]).name} took longer than {limit:g} s") from error
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Failed(f"{Path(command[0]).name} ended with {done.returncode}: {text.strip()[-300:]}")
    return text


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@define
class Process:
    """A server that runs until it is stopped."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    log: Path
    directory: Path
    running: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it; it may not answer yet."""
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(  # noqa: S603 - the commands are our own
                self.command, env=dict(self.environment), cwd=self.directory, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """Ask it to end, and kill what is left of it after 10 s. Calling it twice is fine."""
        if self.running is None:
            return
        leader, family = self.running.pid, list(tree(self.running.pid))
        self.running.terminate()
        try:
            self.running.wait(10)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()
        for pid in family[1:]:
            with suppress(ProcessLookupError):
                if os.getsid(pid) == leader:  # still the child, not a stranger with its number
                    os.kill(pid, signal.SIGKILL)
        self.running = None

    def ended(self) -> bool:
        """Tell whether it ended on its own."""
        return self.running is not None and self.running.poll() is not None

    def memory(self) -> Memory:
        """What it occupies now and occupied at most."""
        pids = list(tree(self.running.pid)) if self.running else []
        return Memory(sum(_status(pid, "VmRSS") for pid in pids), sum(_status(pid, "VmHWM") for pid in pids))

    def forget_peak(self) -> None:
        """Let the kernel count the peak from now on (proc(5), clear_refs); without the right to, the old peak stays."""
        for pid in tree(self.running.pid) if self.running else []:
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def processor_seconds(self) -> float:
        """Processor time used so far, user and system, with children."""
        ticks = 0
        for pid in tree(self.running.pid) if self.running else []:
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def _status(pid: int, key: str) -> float:
    """A line of ``/proc/PID/status`` in MiB; 0 for a process that is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


def wait_until(question: str, deadline: float, *processes: Process) -> None:
    """Check that waiting still makes sense, and wait a little.

    :param deadline: on the clock of ``time.monotonic``.
    :raises Failed: the time is over, or one of the processes ended.
    """
    for process in processes:
        if process.ended():
            raise Failed(f"{question}: ended, {process.log.read_text(errors='replace').strip()[-300:]}")
    if time.monotonic() > deadline:
        raise Failed(f"{question}: no answer in time")
    time.sleep(0.005)
