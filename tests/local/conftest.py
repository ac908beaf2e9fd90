"""Homes with an embedded PostgreSQL, for the tests of it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import temporary_home

from celeryctl.local.postgres import Postgres

from .cockpit import Cockpit, new_cockpit


@pytest.fixture
def new_home(server_home: Path) -> Path:
    """A home that has nothing yet."""
    return server_home


@pytest.fixture(scope="session")
def standing() -> Iterator[Postgres]:
    """A server that runs, for the tests that only look at it."""
    with temporary_home() as place:
        server = Postgres(place)
        server.ensure()
        yield server


@pytest.fixture(scope="session")
def prepared() -> Iterator[Path]:
    """A home that has a database."""
    with temporary_home() as place:
        Postgres(place).ensure()
        yield place


@pytest.fixture
def home(prepared: Path) -> Iterator[Path]:
    """A home that has a database, whose server does not run."""
    Postgres(prepared).stop()
    yield prepared
    Postgres(prepared).stop()


@pytest.fixture
def cockpit() -> Iterator[Cockpit]:
    """A terminal in a folder that has no home yet."""
    with new_cockpit() as cockpit:
        yield cockpit


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can pass, and that nobody else owns."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
