"""How each source answered last, for the stats."""

from celeryctl.storage.database import database, transaction

# Written at most every few seconds, and else not even locked: the row is shared by all workers of the cluster.
ANSWERED = """
WITH told AS (
  UPDATE sources SET last_ok = now(), seen_at = now(), error = NULL,
    latency = coalesce(0.7 * latency + 0.3 * %(latency)s, %(latency)s, latency)
  WHERE name = %(name)s AND (error IS NOT NULL OR seen_at < now() - interval '5 seconds') RETURNING name)
INSERT INTO sources (name, last_ok, latency)
SELECT %(name)s, now(), %(latency)s WHERE NOT EXISTS (SELECT FROM told) ON CONFLICT (name) DO NOTHING
"""
FAILED = """
INSERT INTO sources (name, error) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET seen_at = now(), error = excluded.error
"""


def answered(name: str, *, latency: float | None = None) -> None:
    """Note that the source of this data set gave what it should, within so many seconds."""
    with transaction():
        database.execute_sql(ANSWERED, {"name": name, "latency": latency})


def failed(name: str, error: str) -> None:
    """Note why the source of this data set was given up."""
    with transaction():
        database.execute_sql(FAILED, (name, error))
