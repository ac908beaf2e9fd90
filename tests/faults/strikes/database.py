"""The database is stopped, frozen, locked, cut off, or its last word gets lost."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial

import psycopg2
from relay import Relay

from ..kit import Stage, Strike
from . import servers


def stopped(stage: Stage) -> AbstractContextManager[None]:
    return servers.stopped(stage.database)


def frozen(stage: Stage) -> AbstractContextManager[None]:
    return servers.frozen(stage.database)


@contextmanager
def locked(stage: Stage, table: str) -> Iterator[None]:
    with closing(psycopg2.connect(stage.database.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def cut(stage: Stage) -> AbstractContextManager[None]:
    return servers.cut(relay(stage))


@contextmanager
def commit_lost(stage: Stage, times: int = 3) -> Iterator[list[bytes]]:
    """It says that it has committed, and the line is cut before anybody hears that. Yields what nobody heard."""
    lost: list[bytes] = []

    def swallow(data: bytes) -> bytes:
        if len(lost) == times or b"COMMIT\0" not in data:
            return data
        lost.append(data)
        relay(stage).cut()
        return b""

    relay(stage).reply = swallow
    try:
        yield lost
    finally:
        relay(stage).reply = bytes


AT_ONCE: dict[str, Strike] = {"connections cut": cut}
LASTING: dict[str, Strike] = {
    "stopped at once": stopped,
    "frozen": frozen,
    "users locked": partial(locked, table="users"),
    "batches locked": partial(locked, table="batches"),
    "cut off after commits": commit_lost,
}


def relay(stage: Stage) -> Relay:
    return servers.known(stage.to_database)
