"""Locks for changes of tables: behind whoever waits for one, everybody else who needs the table waits as well."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import peewee
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from celeryctl.errors import SchemaError
from celeryctl.storage.database import database

WAIT = "2s"  # for a lock: what workers do in a transaction is mostly over by then
PAUSE = 1.0  # seconds until the next try, in which those who waited behind us get on
TRIES = 20
FIX = "celeryctl psql -c \"SELECT pid, xact_start, query FROM pg_stat_activity WHERE state <> 'idle' ORDER BY 2\""


@contextmanager
def brief() -> Iterator[None]:
    """Within the block no lock is waited for long, on the connection that is held."""
    database.execute_sql(f"SET lock_timeout = '{WAIT}'")
    try:
        yield
    finally:
        database.execute_sql("RESET lock_timeout")


def tried(change: Callable[[], object]) -> None:
    """Make the change, again and again where it does not get a lock. Raises SchemaError where that never comes."""
    for _ in range(TRIES):
        try:
            change()
        except peewee.OperationalError as exc:
            if not isinstance(getattr(exc, "orig", None), LockNotAvailable | DeadlockDetected):
                raise
            time.sleep(PAUSE)
        else:
            return
    why = f"{TRIES} times a lock did not come within {WAIT}"
    raise SchemaError("a table that is to be changed is in use", why=why, fix=FIX)
