"""Locks for changes of tables: behind whoever waits for one, everybody else who needs the table waits as well."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import peewee
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from celeryctl.errors import SchemaError
from celeryctl.storage.database import database

T = TypeVar("T")
FIX = "celeryctl psql -c \"SELECT pid, xact_start, query FROM pg_stat_activity WHERE state <> 'idle' ORDER BY 2\""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lock is waited for: what workers do in a transaction is mostly over within ``wait``."""

    wait: str = "2s"
    pause: float = 1.0  # seconds until the next try, in which those who waited behind us get on
    tries: int = 20

    @contextmanager
    def brief(self) -> Iterator[None]:
        """Within the block no lock is waited for long, on the connection that is held."""
        database.execute_sql(f"SET lock_timeout = '{self.wait}'")
        try:
            yield
        finally:
            database.execute_sql("RESET lock_timeout")

    def tried(self, change: Callable[[], T]) -> T:
        """What ``change`` returns, made again where it gets no lock. Raises SchemaError where that never comes."""
        for _ in range(self.tries):
            try:
                return change()
            except peewee.OperationalError as exc:
                if not isinstance(getattr(exc, "orig", None), LockNotAvailable | DeadlockDetected):
                    raise
                time.sleep(self.pause)
        why = f"{self.tries} times a lock did not come within {self.wait}"
        raise SchemaError("a table that is to be changed is in use", why=why, fix=FIX)


PATIENCE = Patience()
