"""Dead letters: what was in the queue and is no task's message."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import datetime

import psycopg2
from psycopg2.extras import execute_values

from celeryctl.storage.database import connect_once, database, session, translate

KEPT = 1000  # the newest of them

WRITE = "INSERT INTO dead_letters (worker, reason, task, task_id, origin, size) VALUES %s"
FORGET = "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - %s"
NEWEST = "SELECT at, worker, reason, task, task_id, origin, size FROM dead_letters ORDER BY id DESC LIMIT %s"
RECENT = """
SELECT count(*), (array_agg(reason ORDER BY id DESC))[1] FROM dead_letters WHERE at > now() - interval '1 day'
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a message was set aside, and what is known of it: its task, id, who sent it, its bytes."""

    reason: str
    task: str
    task_id: str
    origin: str
    size: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter that is written down: when, and by which worker."""

    at: datetime
    worker: str
    reason: str
    task: str
    task_id: str
    origin: str
    size: int


def write(url: str, letters: Sequence[DeadLetter], *, worker: str) -> None:
    """Write them down, and forget the oldest. Raises DatabaseUnreachableError."""
    with closing(connect_once(url)) as connection, connection.cursor() as cursor:
        try:
            execute_values(cursor, WRITE, [tuple(map(_clean, (worker, *astuple(letter)))) for letter in letters])
            cursor.execute(FORGET, (KEPT,))
        except psycopg2.Error as exc:
            raise translate(exc) from None


def newest(limit: int) -> list[Kept]:
    """The newest of them, newest first."""
    with session():
        return [Kept(*row) for row in database.execute_sql(NEWEST, (limit,)).fetchall()]


def recent() -> tuple[int, str]:
    """How many of them came within a day, and why the newest was set aside."""
    with session():
        count, reason = database.execute_sql(RECENT).fetchone()
    return count, reason or ""


def _clean(value: object) -> object:
    """PostgreSQL's text holds no NUL, and no half of a surrogate pair."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
