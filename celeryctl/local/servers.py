"""The database and the broker of an `up`: embedded ones, started and stopped here, unless settings name others."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from celeryctl.datasets import further
from celeryctl.errors import CeleryctlError
from celeryctl.home import lock
from celeryctl.local.access import LOCAL
from celeryctl.local.postgres import DATABASE, Postgres
from celeryctl.local.postmaster import Postmaster
from celeryctl.local.restarts import Kept
from celeryctl.local.valkey import Valkey
from celeryctl.pipeline import keys
from celeryctl.pipeline.context import Context
from celeryctl.storage import schema
from celeryctl.storage.database import close


class Servers:
    """What `up` has running beside its children. Its parts may be started by several threads at once."""

    def __init__(self, context: Context) -> None:
        self._context, home = context, context.settings.home
        self._postgres, self._valkey = Postgres(home), Valkey(home)
        self._postmaster = Postmaster(home)
        self._lease = ExitStack()
        self.own_database = context.settings.environment.own("DATABASE_URL")
        self.own_broker = context.settings.environment.own("REDIS_URL")
        self._started: set[str] = set()
        self._port = 0

    def start_broker(self) -> str:
        """The broker's URL. Raises LocalServerError."""
        if self.own_broker:
            return str(self._context.settings.redis_url)
        url = self._valkey.start()
        self._started.add("valkey")
        return url

    def start_database(self) -> None:
        """Start the embedded PostgreSQL, unless a database is named, and keep others from stopping it."""
        if self.own_database:
            return
        self._lease.enter_context(lock(self._postgres.users, shared=True))
        self._postgres.ensure()
        self._port = self._postmaster.port or 0
        self._started.add("postgres")

    def prepare(self, *, local: bool) -> str:
        """Create and migrate the database. Returns its URL; the models point at it. Raises as `keys.require`."""
        url = (
            str(self._context.settings.database_url)
            if self.own_database
            else self._postgres.url(LOCAL if local else DATABASE)
        )
        schema.create_database(url)
        here = self._context.at(url)
        here.connect()
        schema.migrate(further(here.datasets))
        keys.require(here)
        return url

    def check(self) -> None:
        """Raise CeleryctlError when an embedded server has gone. Those of others may come and go."""
        alive = {"postgres": lambda: self._postmaster.alive, "valkey": lambda: self._valkey.alive}
        for name in self._started:
            if not alive[name]():
                raise CeleryctlError(
                    f"{name} has ended", why="nobody here has asked it to", fix=f"celeryctl logs {name}"
                )

    def kept(self) -> list[Kept]:
        """The embedded servers, each to be started again where it was. Those of others may come and go."""
        servers = {
            "postgres": Kept("postgres", partial(_ended, lambda: self._postmaster.alive), self._start_database_again),
            "valkey": Kept("valkey", partial(_ended, lambda: self._valkey.alive), self._valkey.start_again),
        }
        return [servers[name] for name in sorted(self._started)]

    def _start_database_again(self) -> None:
        Postgres(self._context.settings.home, ports=lambda: self._port).ensure()

    def stop(self) -> None:
        """Stop what was started here. PostgreSQL stays while others are connected: who goes last stops it."""
        close()
        try:
            self._valkey.stop()
        finally:
            self._lease.close()
            if not self.own_database:
                self._postgres.stop_if_unused()


def _ended(alive: Callable[[], bool]) -> str | None:
    return None if alive() else "has ended, and nobody here has asked it to"
