"""Misses that somebody has to look at: records that were rejected, or that their workers did not survive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from celeryctl.storage.database import database, session

LISTED = """
SELECT dataset, key, user_id, outcome, reasons, attempts, tried_at, next_try, count(*) OVER () FROM misses
WHERE outcome IN ('rejected', 'failed') AND (%(dataset)s::text IS NULL OR dataset = %(dataset)s)
ORDER BY tried_at DESC, dataset, key LIMIT %(limit)s
"""
KEYS = "SELECT key FROM misses WHERE outcome IN ('rejected', 'failed') AND dataset = %s ORDER BY key"
AMONG = """
SELECT key, user_id, tried_at, payload::text FROM misses
WHERE outcome IN ('rejected', 'failed') AND dataset = %s AND key = ANY (%s) ORDER BY key
"""
FORGET = """
DELETE FROM misses m USING unnest(%s::text[], %s::timestamptz[]) AS k (key, tried_at)
WHERE m.dataset = %s AND m.key = k.key AND m.tried_at = k.tried_at
"""
# In the order of the keys, as batches lock them.
ASK_AGAIN = """
WITH these AS MATERIALIZED (
  SELECT key FROM misses WHERE dataset = %(dataset)s AND key = ANY (%(keys)s) ORDER BY key FOR UPDATE)
UPDATE misses m SET next_try = now(), attempts = 0 FROM these WHERE m.dataset = %(dataset)s AND m.key = these.key
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A miss. ``next_try`` is None where nothing tries again by itself."""

    dataset: str
    key: str
    user_id: int | None
    outcome: str
    reasons: Sequence[str]
    attempts: int
    tried_at: datetime
    next_try: datetime | None

    @property
    def id(self) -> str:
        """What it is called, such as ``addresses/3``."""
        return f"{self.dataset}/{self.key}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a failure."""

    key: str
    user_id: int | None
    tried_at: datetime
    payload: str | None


def newest(limit: int, *, dataset: str | None = None) -> tuple[list[Failure], int]:
    """The newest of them, newest first, and how many there are."""
    with session():
        found = database.execute_sql(LISTED, {"dataset": dataset, "limit": limit}).fetchall()
    return [Failure(*row[:-1]) for row in found], found[0][-1] if found else 0


def keys(dataset: str) -> list[str]:
    """The keys of all of a data set."""
    with session():
        return [key for (key,) in database.execute_sql(KEYS, (dataset,)).fetchall()]


def among(dataset: str, wanted: Sequence[str]) -> list[Kept]:
    """Those of them that there are."""
    return [Kept(*row) for row in database.execute_sql(AMONG, (dataset, list(wanted))).fetchall()]


def ask_again(dataset: str, wanted: Sequence[str]) -> None:
    """Let the next run ask for them, as if for the first time."""
    database.execute_sql(ASK_AGAIN, {"dataset": dataset, "keys": list(wanted)})


def forget(dataset: str, kept: Sequence[Kept]) -> int:
    """They are failures no longer. Returns of how many that is true: those that were tried meanwhile stay."""
    parameters = ([one.key for one in kept], [one.tried_at for one in kept], dataset)
    return int(database.execute_sql(FORGET, parameters).rowcount)
