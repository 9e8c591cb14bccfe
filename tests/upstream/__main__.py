"""``python -m tests.upstream --root DIR`` prints one JSON line, ``{"port": ..., "other_port": ...}``, and serves."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from pathlib import Path

from tests.upstream.server import Upstream, listen
from tests.upstream.shelf import Shelf


async def serve(root: Path, port: int, other_port: int) -> None:
    """Serve until the process is ended."""
    upstream = Upstream(Shelf(root))
    upstream.shelf.files()
    servers = await listen(upstream, port, other_port)
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    sys.stdout.write(json.dumps({"port": ports[0], "other_port": ports[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description="An index with fault switches.")
    parser.add_argument("--root", type=Path, required=True, help="directory of wheels and sdists")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--other-port", type=int, default=0)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(given.root, given.port, given.other_port))


if __name__ == "__main__":
    main()
