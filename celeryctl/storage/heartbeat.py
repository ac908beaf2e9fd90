"""Signs of life from workers. Written over a connection of the moment: a process that forks must not hold one."""

from contextlib import closing

import psycopg2

from celeryctl.storage.database import connect_once, translate

SEEN = """
INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES (%s, now(), %s, %s, %s)
ON CONFLICT (name) DO UPDATE
SET seen_at = now(), active = excluded.active, concurrency = excluded.concurrency, rss = excluded.rss
"""


def beat(url: str, *, name: str, active: int, concurrency: int, rss: int) -> None:
    """Say that the worker ``name`` lives. Raises DatabaseUnreachableError."""
    _execute(url, SEEN, (name, active, concurrency, rss))


def gone(url: str, *, name: str) -> None:
    """Take a worker that ends from the list. Raises DatabaseUnreachableError."""
    _execute(url, "DELETE FROM workers WHERE name = %s", (name,))


def _execute(url: str, statement: str, parameters: tuple[object, ...]) -> None:
    with closing(connect_once(url)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(statement, parameters)
        except psycopg2.Error as exc:
            raise translate(exc) from None
