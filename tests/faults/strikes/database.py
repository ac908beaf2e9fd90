"""The database is stopped, frozen, locked, cut off, or its last word gets lost."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import psycopg2
from relay import Relay

from ..kit import Stage, Strike


@contextmanager
def stopped(stage: Stage) -> Iterator[None]:
    stage.database.stop()
    try:
        yield
    finally:
        stage.database.start()


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    stage.database.freeze()
    try:
        yield
    finally:
        stage.database.thaw()


@contextmanager
def locked(stage: Stage, table: str) -> Iterator[None]:
    with closing(psycopg2.connect(stage.database.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def cut(stage: Stage) -> Iterator[None]:
    relay(stage).cut()
    yield


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
    assert stage.to_database is not None
    return stage.to_database
