"""The servers that are measured beside each other, each set up as its own documentation advises for one machine."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from attrs import define, field

import pypicache
from bench.accounts import Account
from bench.client import get
from bench.filling import IMPORT
from bench.processes import Failed, Missing, Process, free_port, plain_environment, program, run, wait_until

CHECKOUT = Path(pypicache.__file__).parent.parent
_START_LIMIT = 60.0  # seconds


@define
class Peer:
    """One measured server."""

    name: str
    version: str
    index: str  # URL of its simple index, with a slash at the end
    process: Process

    def server(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.index)
        return f"{parts.scheme}://{parts.netloc}"

    def start(self, limit: float = _START_LIMIT) -> float:
        """Start it and ask for a small page until there is one.

        :return: seconds from the start of the process to the whole page.
        """
        begun = time.monotonic()
        self.process.start()
        answered = False
        while not answered:
            with suppress(OSError):
                answered = get(self.index + "small/").status == 200
            if not answered:
                wait_until(self.name, begun + limit, self.process)
        return time.monotonic() - begun


@define
class Tools:
    """Where the peers from PyPI are installed; what is missing is installed when it is asked for."""

    directory: Path
    dump: Path | None = None  # what a private index contains from the start, where publishing is measured
    refused: dict[str, str] = field(factory=dict)  # requirement -> why it could not be installed

    def program(self, name: str, *requirements: str) -> Path:
        """A program of the environment, after its requirements were installed.

        :raises Missing: they cannot be installed.
        """
        found = self.directory / "bin" / name
        if found.exists():
            return found
        label = requirements[0]
        if label not in self.refused:
            try:
                if not (self.directory / "bin" / "python").exists():
                    run([sys.executable, "-m", "venv", self.directory], os.environ)
                pip: list[str | Path] = [self.directory / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
                run([*pip, "install", "--quiet", *requirements], os.environ)
            except (Failed, OSError) as error:
                self.refused[label] = f"{label} could not be installed"
                print(error, file=sys.stderr)
        if not found.exists():
            raise Missing(self.refused.get(label, f"{label} is not installed"))
        return found

    def version(self, package: str) -> str:
        """The installed version of a package."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return run([self.directory / "bin" / "python", "-c", code], os.environ).strip()


def prepare_pypicache(work: Path, upstream: str, tools: Tools, workers: int = 0, checkout: Path = CHECKOUT) -> Peer:
    """A checkout, with its defaults; ``workers`` is set if it is not 0."""
    port = free_port()
    settings = work / "pypicache.toml"
    more = f"workers = {workers}\n" if workers else ""
    settings.write_text(
        f'[server]\n{more}listen = ["tcp:{port}:interface=127.0.0.1"]\nstate = "{work / "state"}"\n\n'
        f'[indexes."root/pypi"]\ntype = "mirror"\nmirror_url = "{upstream}"\n'
    )
    if not (checkout / "pypicache" / "cli.py").exists():
        raise Missing("this checkout has no daemon")
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "from pypicache.cli import main; main()",
        "serve",
        "--config",
        settings,
    ]
    environment = plain_environment(work, PYTHONPATH=os.pathsep.join(map(str, (checkout, CHECKOUT))))
    if tools.dump is not None:
        run([sys.executable, "-m", "bench.filling", work / "state", tools.dump], environment)
    return Peer(
        "pypicache",
        pypicache.__version__,
        f"http://127.0.0.1:{port}/root/pypi/+simple/",
        Process(command, environment, work / "log", work),
    )


def prepare_nginx(work: Path, upstream: str, tools: Tools) -> Peer:
    """A caching reverse proxy with one worker, requests for the same file coalesced by ``proxy_cache_lock``."""
    nginx = program("nginx")
    version = re.findall(r"nginx/(\S+)", run([nginx, "-v"], os.environ))
    port = free_port()
    settings = work / "nginx.conf"
    settings.write_text(
        _NGINX
        % {
            "user": "user root;" if os.geteuid() == 0 else "",
            "work": work,
            "port": port,
            "upstream": urlsplit(upstream).netloc,
        }
    )
    command: list[str | Path] = [nginx, "-p", work, "-c", settings, "-e", work / "error.log"]
    process = Process(command, plain_environment(work), work / "log", work)
    return Peer("nginx", " ".join(version), f"http://127.0.0.1:{port}/simple/", process)


_NGINX = """
%(user)s
daemon off;
worker_processes 1;
pid %(work)s/nginx.pid;
error_log %(work)s/error.log;
events { worker_connections 1024; }
http {
    access_log %(work)s/access.log combined;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path %(work)s/body;
    fastcgi_temp_path %(work)s/fastcgi;
    uwsgi_temp_path %(work)s/uwsgi;
    scgi_temp_path %(work)s/scgi;
    proxy_temp_path %(work)s/proxy;
    proxy_cache_path %(work)s/cache levels=1:2 keys_zone=files:64m max_size=50g inactive=7d use_temp_path=off;
    map $http_accept $format { default html; "~simple\\.v1\\+json" json; }
    map $http_accept_encoding $coding { default identity; "~gzip" gzip; }
    upstream index { server %(upstream)s; keepalive 64; }
    server {
        listen 127.0.0.1:%(port)s backlog=1024;
        location / {
            proxy_pass http://index;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache files;
            proxy_cache_key $uri;
            proxy_cache_valid 200 30m;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 600s;
            proxy_cache_lock_age 600s;
        }
        location /simple/ {
            proxy_pass http://index;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache files;
            proxy_cache_key $uri:$format:$coding;
            proxy_ignore_headers Vary Cache-Control;
            proxy_cache_valid 200 30m;
            proxy_cache_revalidate on;
            proxy_cache_use_stale error timeout updating;
            proxy_cache_background_update on;
            proxy_cache_lock on;
            proxy_cache_lock_timeout 600s;
            proxy_cache_lock_age 600s;
        }
    }
}
"""


def prepare_devpi(work: Path, upstream: str, tools: Tools) -> Peer:
    """devpi-server with its defaults; its mirror is made first, so that it knows no other upstream."""
    server = tools.program("devpi-server", "devpi-server")
    port = free_port()
    environment = plain_environment(work)
    state = work / "state"
    program: list[str | Path] = [server.with_name("devpi-init")]
    if tools.dump is not None:
        program = [server.with_name("python"), "-c", IMPORT]
    run([*program, "--serverdir", state, "--no-root-pypi", *filter(None, [tools.dump])], environment)
    command: list[str | Path] = [server, "--serverdir", state, "--host", "127.0.0.1", "--port", str(port)]
    process = Process(command, environment, work / "log", work)
    process.start()
    try:
        _make_mirror(process, f"http://127.0.0.1:{port}", upstream)
    finally:
        process.stop()
    return Peer("devpi-server", tools.version("devpi-server"), f"http://127.0.0.1:{port}/root/pypi/+simple/", process)


def _make_mirror(process: Process, server: str, upstream: str) -> None:
    """Create the index ``root/pypi`` as soon as the server answers."""
    deadline = time.monotonic() + _START_LIMIT
    root = None
    while root is None:
        try:
            root = Account.login(server)
        except OSError:
            wait_until("devpi-server", deadline, process)
    root.put("/root/pypi", {"type": "mirror", "mirror_url": upstream, "mirror_provides_core_metadata": True})


def prepare_proxpi(work: Path, upstream: str, tools: Tools) -> Peer:
    """proxpi under gunicorn with threads, as its container image runs it; it waits for files instead of redirecting."""
    gunicorn = tools.program("gunicorn", "proxpi", "gunicorn")
    port = free_port()
    (work / "files").mkdir()
    environment = plain_environment(
        work,
        PROXPI_INDEX_URL=upstream,
        PROXPI_CACHE_DIR=str(work / "files"),
        PROXPI_DOWNLOAD_TIMEOUT="600",
    )
    command: list[str | Path] = [gunicorn, "--bind", f"127.0.0.1:{port}", "--threads", "50", "--timeout", "600"]
    process = Process([*command, "proxpi.server:app"], environment, work / "log", work)
    return Peer("proxpi", tools.version("proxpi"), f"http://127.0.0.1:{port}/index/", process)


TAKES_UPLOADS = {"pypicache", "before", "devpi-server"}

PEERS: Mapping[str, Callable[[Path, str, Tools], Peer]] = {
    "pypicache": prepare_pypicache,
    "nginx": prepare_nginx,
    "devpi-server": prepare_devpi,
    "proxpi": prepare_proxpi,
}
