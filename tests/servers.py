"""Real servers for the tests.

Once per session the embedded PostgreSQL and Valkey, or those that TEST_DATABASE_URL and TEST_REDIS_URL name.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from celeryctl.local.account import SYSTEM
from celeryctl.local.postgres import Postgres
from celeryctl.local.valkey import Valkey

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="  # of digits: nobody takes it for a real one


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home in a folder of its own; at the end nothing is left of it, nor of what ran in it."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        home = Path(folder, ".celeryctl")
        try:
            yield home
        finally:
            dispose(home)


def dispose(home: Path) -> None:
    """Stop and delete what a home has, also the part that lies elsewhere below root."""
    try:
        Valkey(home).stop()
    finally:
        Postgres(home).remove()
        if os.geteuid() == 0:
            # Only an empty folder goes: another home of this machine may have its data there.
            with suppress(OSError):
                SYSTEM.rmdir()


@pytest.fixture
def server_home() -> Iterator[Path]:
    """A home for one test that starts servers of its own."""
    with temporary_home() as home:
        yield home


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The libpq URL of a maintenance database; its user may create others."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    with temporary_home() as home:
        server = Postgres(home)
        server.ensure()
        maintenance = server.url("postgres")
        _make_forgetful(maintenance)
        yield maintenance


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The URL of a broker that nobody else uses."""
    if named := os.environ.get("TEST_REDIS_URL"):
        # Two of its 16 databases for every process of pytest-xdist: they would empty each other's.
        process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield urlunsplit(urlsplit(named)._replace(path=f"/{2 * process}"))
        return
    with temporary_home() as home:
        server = Valkey(home)
        try:
            yield server.start()
        finally:
            server.stop()


def _make_forgetful(url: str) -> None:
    """Spare the tests the waiting for the disk: nobody needs their rows after a power cut."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            cursor.execute(f"ALTER SYSTEM SET {setting} = off")
        cursor.execute("SELECT pg_reload_conf()")
