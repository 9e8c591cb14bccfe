"""What the daemon is at rest: started on defaults, asked once whether it is ready."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ring_two.harness import ROOT, SERVE, Running, clean_environment, eventually, fetch, free_port

pytestmark = pytest.mark.daemon

MOST = 75  # MiB; some 66 were measured, where the sources are compiled already
TWISTD = "from twisted.scripts.twistd import run; run()"
DOORS = {"serve": [SERVE, "serve"], "twistd": [TWISTD, "--nodaemon", "--pidfile=", "pypicache"]}

# Pages for people, project lists, search, archives and their metadata, configuration files, another database,
# migrations: whoever needs one of these imports it where it is used.
LATE = {
    "alembic",
    "distlib.index",
    "ijson",
    "jinja2",
    "packaging.metadata",
    "psycopg",
    "readme_renderer",
    "sqlalchemy",
    "tarfile",
    "tomllib",
    "xmlrpc.client",
}
STARTED = """
import os, sys
from pypicache.tap import Options, makeService
options = Options()
options.parseOptions(["--state", sys.argv[1], "--port", sys.argv[2]])
service = makeService(options)
service.privilegedStartService()
service.startService()
print(*sys.modules, flush=True)
os._exit(0)  # threads wait for work
"""


@pytest.mark.parametrize("door", DOORS)
def test_it_is_small(door: str, tmp_path: Path) -> None:
    """A daemon that waits for work takes little memory, whichever way it was started."""
    port = free_port()
    command = [sys.executable, "-c", *DOORS[door], "--port", str(port), "--state", str(tmp_path / "state")]
    running = Running.start(command, tmp_path / "log", clean_environment(tmp_path / "home") | {"PYTHONPATH": str(ROOT)})
    try:

        def ready() -> bool:
            assert running.process.poll() is None, running.text()
            try:
                return fetch(f"http://127.0.0.1:{port}/+health/ready").status == 200
            except (OSError, http.client.HTTPException):
                return False

        eventually(ready, "the daemon is ready")
        status = Path(f"/proc/{running.process.pid}/status").read_text()
    finally:
        running.end()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    assert int(found[1]) / 1024 < MOST


def test_nothing_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    """What a daemon without clients does not use is not in its memory."""
    command = [sys.executable, "-c", STARTED, str(tmp_path / "state"), str(free_port())]
    environment = clean_environment(tmp_path / "home") | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603 - our own command
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    imported = set(done.stdout.split())
    assert "pypicache.ledger.ledger" in imported
    assert sorted(LATE & imported) == []
