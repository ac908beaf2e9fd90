"""Signs of life from workers and beats.

A worker's is written over a connection of the moment: a process that forks must not hold one.
"""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg2

from celeryctl.storage.database import connect_once, translate

SEEN = """
INSERT INTO workers (name, seen_at, active, concurrency, rss, skew, key_id)
VALUES (%s, now(), %s, %s, %s, extract(epoch FROM %s - now()), %s)
ON CONFLICT (name) DO UPDATE SET seen_at = now(), active = excluded.active, concurrency = excluded.concurrency,
  rss = excluded.rss, skew = excluded.skew, key_id = excluded.key_id
"""
TICKED = """
INSERT INTO beats AS b (name, seen_at, active) VALUES (%s, now(), %s)
ON CONFLICT (name) DO UPDATE SET seen_at = now(), active = excluded.active
WHERE b.active <> excluded.active OR b.seen_at < now() - interval '4 seconds'
"""
# A process that is stopped keeps its connection, and with it the lock.
UNSEAT = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %s AND l.granted AND a.datname = current_database()
  AND a.state = 'idle' AND a.state_change < now() - %s * interval '1 second'
"""
SILENCE = 10.0  # seconds; an active beat asks every two whether it still leads


def beat(url: str, *, name: str, active: int, concurrency: int, rss: int, key_id: str | None = None) -> None:
    """Say that the worker ``name`` lives, and with which key it seals. Raises DatabaseUnreachableError."""
    with closing(connect_once(url)) as connection:
        _execute(connection, SEEN, (name, active, concurrency, rss, datetime.now(UTC), key_id))


def gone(url: str, *, name: str) -> None:
    """Take a worker that ends from the list. Raises DatabaseUnreachableError."""
    with closing(connect_once(url)) as connection:
        _execute(connection, "DELETE FROM workers WHERE name = %s", (name,))


def ticked(connection: Any, *, name: str, active: bool) -> None:
    """Say over beat's own connection that it lives. Raises DatabaseUnreachableError."""
    _execute(connection, TICKED, (name, active))


def unseat(connection: Any, *, lock: int) -> None:
    """Take the advisory lock from a holder whose connection is silent. Raises DatabaseUnreachableError."""
    _execute(connection, UNSEAT, (lock, SILENCE))


def ended(connection: Any, *, name: str) -> None:
    """Take a beat that ends from the list. Raises DatabaseUnreachableError."""
    _execute(connection, "DELETE FROM beats WHERE name = %s", (name,))


def _execute(connection: Any, statement: str, parameters: tuple[object, ...]) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
    except psycopg2.Error as exc:
        raise translate(exc) from None
