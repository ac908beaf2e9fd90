"""The embedded PostgreSQL of a home: its data, its password, and who uses it.

It listens on loopback only, on a port that is free when it starts, and asks for a password that lies in the home, 0600.
"""

import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from celeryctl import home as homes
from celeryctl.errors import LocalServerError
from celeryctl.home import distrust, lock, read_own, write_private
from celeryctl.local.ports import free_port
from celeryctl.local.postmaster import Postmaster

logger = logging.getLogger(__name__)

DATABASE = "celeryctl"
ANSWER_WITHIN = 60.0
NOT_YET = re.compile(r"refused|starting up|shutting down|recovery|not yet accepting|time-?out|closed the|reset by")
CLIENTS = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


class Postgres:
    """The server whose data belong to this home. Making the object touches nothing."""

    def __init__(self, home: Path, *, ports: Callable[[], int] = free_port) -> None:
        self.home = home.absolute()
        self.users = self.home / "postgres.users"
        self._password = self.home / "postgres" / "password"
        self._server = Postmaster(self.home, ports=ports)

    @property
    def log(self) -> Path:
        """The server's log. It holds no rows."""
        return self._server.log

    def exists(self) -> bool:
        """Whether this home has a database, running or not."""
        return distrust(self.home) is None and self._password.exists() and self._server.data.exists()

    def ensure(self) -> str:
        """Set the server up where it is new, start it where it does not run, and return the URL of `celeryctl`.

        Several processes may do this at once. Raises LocalServerError or HomeError.
        """
        homes.create(self.home)
        with self._locked():
            if not self.exists():
                self._set_up()
            with closing(self._connected()) as connection:
                _create_database(connection)
            return self.url()

    def _set_up(self) -> None:
        folder = self._server.account.folder
        if self._password.exists():
            # Below root they do not move with the home.
            logger.warning("the data of %s are not in %s any more: it begins with new ones", self.home, folder)
        self._set_aside()
        password = secrets.token_hex(32)
        self._server.set_up(password)
        self._password.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(self._password, password)

    def _set_aside(self) -> None:
        """Keep data that nobody has the password of any more: below root they outlive a home that was deleted."""
        if self._server.data.exists():
            self._server.stop()
            kept = self._server.data.with_name(f"data.{time.strftime('%Y%m%dT%H%M%S')}")
            self._server.data.rename(kept)
            logger.warning("the password of the data in %s is gone: they are kept as %s", self._server.data, kept)

    def _connected(self) -> Any:
        """A connection to the server, which is started, and if need be started again, until it answers."""
        deadline = time.monotonic() + ANSWER_WITHIN
        while True:
            self._server.start()
            try:
                return psycopg2.connect(self.url("postgres"), connect_timeout=5)
            except (psycopg2.OperationalError, LocalServerError) as error:
                # No port in its pid file yet: another process was killed while it started the server.
                passing = isinstance(error, LocalServerError) or NOT_YET.search(str(error))
                if not passing or time.monotonic() > deadline:
                    why = str(error).strip().splitlines()[-1]
                    what = "the embedded PostgreSQL does not answer"
                    raise LocalServerError(what, why=why, fix=self._server.see_log) from error
            time.sleep(0.05)

    def url(self, database: str = DATABASE) -> str:
        """The libpq URL of a database of the running server, there or not. Raises LocalServerError when none runs."""
        port = self._server.port
        if port is None or not self.exists():
            why = f"nothing was started yet in {self.home}"
            raise LocalServerError("the embedded PostgreSQL is not running", why=why, fix="celeryctl up")
        password = read_own(self._password)
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/{quote(database, safe='')}"

    def binaries(self) -> Path:
        """The folder that holds psql, pg_dump and the others, of this server's version."""
        return self._server.binaries

    def stop(self) -> None:
        """Stop the server, whoever is connected; nothing happens when it does not run."""
        with self._locked():
            self._server.stop()

    def stop_if_unused(self) -> None:
        """Stop the server unless somebody holds a lease or is connected."""
        with lock(self.users, wait=False) as alone, self._locked():
            if alone and self._server.alive and not self._has_clients():
                self._server.stop()

    def _has_clients(self) -> bool:
        """Whether somebody is connected. Connections that were just closed take a moment to vanish."""
        try:
            with closing(psycopg2.connect(self.url("postgres"), connect_timeout=5)) as connection:
                connection.autocommit = True
                return not any(_is_alone(connection) for _ in range(25))
        except (psycopg2.OperationalError, LocalServerError):
            return False

    def remove(self) -> None:
        """Stop the server, delete its data and its password."""
        with self._locked():
            self._server.stop()
            self._server.account.remove()
            shutil.rmtree(self._password.parent, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from starting or stopping the server. A home that was deleted is not made for that."""
        if not self.home.exists():
            yield
            return
        homes.create(self.home)
        with lock(self.home / "postgres.lock"):
            yield


def _is_alone(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(CLIENTS)
        if cursor.rowcount:
            time.sleep(0.02)
        return not cursor.rowcount


def _create_database(connection: Any) -> None:
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if not cursor.rowcount:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg2.Error as error:
        raise LocalServerError(
            "the embedded PostgreSQL cannot be set up", why=str(error).strip(), fix="df -h"
        ) from error


@contextmanager
def lease(home: Path, *, create: bool) -> Iterator[str | None]:
    """The URL of this home's database for the time of a command; None where there is none and ``create`` is False.

    Who comes first starts the server, who goes last stops it, unless another client is connected: close your own
    connections before you leave. A lease ends with its process, however that ends.
    """
    server = Postgres(home)
    if not (create or server.exists()):
        yield None
        return
    homes.create(server.home)
    try:
        with lock(server.users, shared=True):
            yield server.ensure()
    finally:
        server.stop_if_unused()
