"""Misses that somebody has to look at: records that were rejected, or that their workers did not survive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import peewee

from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import Miss

LISTED = """
SELECT dataset, key, user_id, outcome, reasons, attempts, tried_at, next_try, count(*) OVER () FROM misses
WHERE outcome IN ('rejected', 'failed') AND (%(dataset)s::text IS NULL OR dataset = %(dataset)s)
ORDER BY tried_at DESC, dataset, key LIMIT %(limit)s
"""
KEYS = "SELECT key FROM misses WHERE outcome IN ('rejected', 'failed') AND dataset = %s ORDER BY key"
TAKE = """
SELECT key, user_id, payload::text FROM misses
WHERE outcome IN ('rejected', 'failed') AND dataset = %s AND key = ANY (%s) ORDER BY key FOR UPDATE
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
class Taken:
    """A miss that is to be tried again, and nobody else's until the transaction ends."""

    key: str
    user_id: int | None
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


def take(dataset: str, among: Sequence[str]) -> list[Taken]:
    """Those of them that there are."""
    return [Taken(*row) for row in database.execute_sql(TAKE, (dataset, list(among))).fetchall()]


def ask_again(dataset: str, among: Sequence[str]) -> None:
    """Let the next run ask for them, as if for the first time."""
    these = (Miss.dataset == dataset, Miss.key.in_(among))
    Miss.update(next_try=peewee.fn.now(), attempts=0).where(*these).execute()


def forget(dataset: str, among: Sequence[str]) -> None:
    """They are failures no longer."""
    Miss.delete().where(Miss.dataset == dataset, Miss.key.in_(among)).execute()
