"""Records that could not be stored, and users of whom the source has nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from celeryctl.storage.database import database
from celeryctl.storage.ledger import Miss
from celeryctl.storage.work import Work

FIRST_PAUSE, LONGEST_PAUSE = 60, 86_400  # seconds until a rejected record is asked for again; doubles every time

RECORD = """
INSERT INTO misses AS m (dataset, key, outcome, reasons, next_try) VALUES (%s, %s, %s, %s, {first})
ON CONFLICT (dataset, key) DO UPDATE SET outcome = excluded.outcome, reasons = excluded.reasons, tried_at = now(),
  attempts = m.attempts + 1, next_try = {next}
"""
FIRST = "CASE WHEN %s THEN now() + %s * interval '1 second' END"
NEXT = "CASE WHEN %s AND m.attempts + 1 < %s THEN now() + least(%s * 2 ^ m.attempts, %s) * interval '1 second' END"


@dataclass(frozen=True, slots=True)
class Missed:
    """``key`` is the user's id, or a record's own id, or its place in the listing; ``reasons`` hold no card data."""

    key: str
    outcome: Literal["rejected", "failed", "none"]
    reasons: tuple[str, ...] = ()
    most_attempts: int = 5


def record(dataset: str, missed: Sequence[Missed]) -> None:
    """Remember what was missed, in the order of the keys. Only what was rejected is asked for again by itself."""
    statement = RECORD.format(first=FIRST, next=NEXT)
    for one in sorted({one.key: one for one in missed}.values(), key=lambda one: one.key):
        again = one.outcome == "rejected"
        first = (again and one.most_attempts > 1, FIRST_PAUSE)
        following = (again, one.most_attempts, FIRST_PAUSE, LONGEST_PAUSE)
        database.execute_sql(statement, (dataset, one.key, one.outcome, list(one.reasons), *first, *following))


def clear(work: Work, key: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Forget the misses of what has been stored now."""
    if rows and Miss.select().where(Miss.dataset == work.name).exists():
        name = key[0] if work.listing else "user"
        keys = [str(row[name]) for row in rows]
        Miss.delete().where(Miss.dataset == work.name, Miss.key.in_(keys)).execute()
