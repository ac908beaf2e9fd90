"""What is measured upon: the embedded servers that `celeryctl up` would start, and the APIs."""

import base64
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import redis

from benchmarks.processes import environment, output
from benchmarks.sources import LOOPBACK, Api, serving
from celeryctl.local import postmaster
from celeryctl.local.postgres import Postgres
from celeryctl.local.valkey import Valkey

ROOT = Path(__file__).resolve().parents[1]
KEY = base64.b64encode(b"0123456789abcdef" * 2).decode()
APPLICATION = "benchmarks"  # of our own connections, whose statements do not count
CELERYCTL = (sys.executable, "-m", "celeryctl")


@dataclass(frozen=True, slots=True)
class Extent:
    """How often everything is measured, through what the sizes are divided, and which settings are no defaults."""

    runs: int = 3
    divide: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)

    def size(self, users: int) -> int:
        return max(1, users // self.divide)


@dataclass(frozen=True, slots=True)
class Rig:
    """Running servers. ``folder`` is where children work; ``broker`` is a URL."""

    folder: Path
    postgres: Postgres
    broker: str
    api: Api
    extent: Extent

    def environment(self, *, database: str, users: int, delay: int, host: str = LOOPBACK) -> dict[str, str]:
        """The settings of a cluster on this database and an API, as a node sees them that reaches us at ``host``."""
        base = self.api.base(users, delay, host)
        return environment(
            DATABASE_URL=self.postgres.url(database).replace(f"@{LOOPBACK}:", f"@{host}:"),
            REDIS_URL=self.broker.replace(f"@{LOOPBACK}:", f"@{host}:"),
            USERS_URL=f"{base}/users",
            ADDRESSES_URL=f"{base}/api/address/random_address",
            CREDIT_CARDS_URL=f"{base}/api/business_credit_card/random_card",
            ALLOW_PRIVATE_SOURCES="1",
            CARD_ENCRYPTION_KEYS=KEY,
            CELERYCTL_HOME=str(self.postgres.home),
            **self.extent.settings,
        )

    def celeryctl(self, *arguments: str, env: dict[str, str]) -> str:
        """What a command prints. Raises MeasureError."""
        return output([*CELERYCTL, *arguments], env=env, folder=self.folder)

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker, socket_timeout=5)


@contextmanager
def started(extent: Extent, hosts: Sequence[str] = (LOOPBACK,)) -> Iterator[Rig]:
    """A rig on these addresses of this machine; at the end nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-bench-") as folder, ExitStack() as stack:
        home = Path(folder, "home")
        stack.callback(_dispose, home)
        # They listen on loopback only, which another host cannot reach.
        with patch.dict(postmaster.SETTINGS, listen_addresses=",".join(hosts)):
            postgres = Postgres(home)
            postgres.ensure()
        broker = Valkey(home).start()
        yield Rig(Path(folder), postgres, broker, stack.enter_context(serving(Path(folder), hosts)), extent)


def _dispose(home: Path) -> None:
    """Stop and delete the servers, also the data that lie elsewhere below root."""
    try:
        Valkey(home).stop()
    finally:
        Postgres(home).remove()


def query(url: str, statement: str, parameters: Sequence[object] = (), *, name: str = APPLICATION) -> list[Any]:
    """The rows that a statement gives, on a connection of its own; ``name`` is what the server calls it."""
    with closing(psycopg2.connect(url, application_name=name)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []
