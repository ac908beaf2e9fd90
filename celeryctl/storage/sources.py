"""How each source answered last, for the stats."""

from celeryctl.storage.database import database, transaction

# Written at most every few seconds: the row is shared by all workers of the cluster.
ANSWERED = """
INSERT INTO sources AS s (name, last_ok, latency) VALUES (%(name)s, now(), %(latency)s)
ON CONFLICT (name) DO UPDATE SET last_ok = now(), seen_at = now(), error = NULL,
  latency = coalesce(0.7 * s.latency + 0.3 * excluded.latency, excluded.latency, s.latency)
WHERE s.error IS NOT NULL OR s.seen_at < now() - interval '5 seconds'
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
