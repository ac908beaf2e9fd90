"""How each source answered last, and until when one that fails is left alone by the schedule."""

from datetime import datetime

from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import SourceState

PATIENCE = 3  # runs in a row that a source makes fail: from then on it is left alone for a while,
SHORTEST, LONGEST = 30, 600  # seconds, twice as long every time
LONGEST_ASKED = 3600  # seconds; for longer nobody is left alone, even if it asks for that

# Written at most every few seconds, and else not even locked: the row is shared by all workers of the cluster. What was
# asked before the source failed, and answered all the same, says nothing of how it is since.
ANSWERED = """
WITH told AS (
  UPDATE sources SET last_ok = now(), seen_at = now(), error = NULL, failures = 0, asks_again_at = NULL,
    latency = coalesce(0.7 * latency + 0.3 * %(latency)s, %(latency)s, latency)
  WHERE name = %(name)s
    AND seen_at < now() - interval '1 second' * CASE WHEN error IS NULL THEN 5 ELSE %(took)s END RETURNING name)
INSERT INTO sources (name, last_ok, latency)
SELECT %(name)s, now(), %(latency)s WHERE NOT EXISTS (SELECT FROM told) ON CONFLICT (name) DO NOTHING
"""
# Who asks while it is left alone, and in vain, does not prolong that.
FAILED = """
INSERT INTO sources AS s (name, error, failures, asks_again_at)
VALUES (%(name)s, %(error)s, 1, now() + %(asked)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET (seen_at, error, failures, asks_again_at) = (
  SELECT now(), excluded.error, n.failures, greatest(s.asks_again_at, excluded.asks_again_at,
    CASE WHEN n.failures > s.failures AND n.failures >= %(patience)s THEN now() + interval '1 second'
      * least(%(longest)s, %(shortest)s * 2 ^ least(n.failures - %(patience)s, 10)) END)
  FROM (SELECT s.failures + CASE WHEN s.asks_again_at > now() THEN 0 ELSE %(counted)s END) AS n (failures))
"""


def answered(name: str, *, latency: float | None = None, took: float = 0.0) -> None:
    """Note that the source of this data set gave what it should, to whom has been asking it for ``took`` seconds.

    ``latency`` is how many seconds a request has taken.
    """
    with transaction():
        database.execute_sql(ANSWERED, {"name": name, "latency": latency, "took": took})


def failed(name: str, error: str, *, retry_after: float | None = None, again: bool = False) -> None:
    """Note why the source of this data set was given up, and leave it alone where that goes on for too long.

    ``retry_after`` is for how many seconds it has asked to be left alone. ``again``: for a run that counts already.
    """
    asked = None if retry_after is None else min(retry_after, LONGEST_ASKED)
    parameters = {"name": name, "error": error, "asked": asked, "counted": 0 if again else 1}
    limits = {"patience": PATIENCE, "shortest": SHORTEST, "longest": LONGEST}
    with transaction():
        database.execute_sql(FAILED, parameters | limits)


def state(name: str) -> SourceState | None:
    """How the source of this data set answered last; None where nobody has asked it yet."""
    with session():
        found: SourceState | None = SourceState.get_or_none(SourceState.name == name)
        return found


def asks_again_at(name: str) -> datetime | None:
    """When the schedule asks the source again, which may be past; None when it is not left alone."""
    found = state(name)
    return found.asks_again_at if found else None
