"""The newest runs, for who types an id: over a connection of the moment that gives up soon."""

from contextlib import closing

import psycopg2
from psycopg2.extensions import make_dsn

from celeryctl.storage.database import connect_once, translate

NEWEST = """
SELECT id::text, concat_ws(' ', dataset, status, to_char(started_at, 'HH24:MI "UTC"'))
FROM runs ORDER BY started_at DESC LIMIT %s
"""


def recent(url: str, *, most: int = 30) -> list[tuple[str, str]]:
    """Id and a word on each of the newest runs. Raises DatabaseUnreachableError."""
    try:
        short = make_dsn(url, connect_timeout=2)
        with closing(connect_once(short)) as connection, connection.cursor() as cursor:
            cursor.execute(NEWEST, (most,))
            found: list[tuple[str, str]] = cursor.fetchall()
    except psycopg2.Error as exc:
        raise translate(exc) from None
    return found
