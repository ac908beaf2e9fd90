"""Records that could not be stored, and users of whom the source has nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from psycopg2 import sql

from celeryctl.storage.database import database
from celeryctl.storage.ledger import Miss
from celeryctl.storage.rows import Rows
from celeryctl.storage.work import Work

FIRST_PAUSE, LONGEST_PAUSE = 60, 86_400  # seconds until a rejected record is asked for again; doubles every time

# In the order of the keys, so that two batches cannot deadlock. The misses of a user that is gone by now are left out.
RECORD = """
INSERT INTO misses AS m (dataset, key, user_id, outcome, reasons, payload, next_try)
SELECT %(dataset)s, r.key, u.id, {outcome}, r.reasons, r.payload::json,
       CASE WHEN r.again AND r.most > 1 THEN now() + %(pause)s * interval '1 second' END
FROM jsonb_to_recordset(%(rows)s::jsonb)
       AS r (key text, "user" bigint, outcome text, reasons text[], payload text, again boolean, most integer)
  LEFT JOIN users u ON u.id = r."user"
WHERE r."user" IS NULL OR u.id IS NOT NULL
ORDER BY r.key
ON CONFLICT (dataset, key) DO UPDATE
SET outcome = excluded.outcome, reasons = excluded.reasons, payload = excluded.payload,
    tried_at = now(), attempts = m.attempts + 1,
    next_try = CASE WHEN excluded.next_try IS NOT NULL AND m.attempts + 1 < %(most)s
                    THEN now() + least(%(pause)s * 2 ^ m.attempts, %(longest)s) * interval '1 second' END
"""
# Of a user whose row is there already the source has no record any more: the row stays.
GONE = """CASE WHEN r.outcome = 'none' AND EXISTS (SELECT FROM {table} t WHERE t.user_id = u.id)
       THEN 'gone' ELSE r.outcome END"""


@dataclass(frozen=True, slots=True)
class Missed:
    """``key`` is the user's id, or a record's own id, or its place in the listing; ``reasons`` hold no card data.

    ``payload`` is the record as it came, in JSON, without card data, where it may be kept.
    """

    key: str
    outcome: Literal["rejected", "failed", "none"]
    reasons: tuple[str, ...] = ()
    most_attempts: int = 5
    payload: str | None = field(default=None, repr=False)


def record(work: Work, missed: Sequence[Missed]) -> None:
    """Remember what was missed. Only what was rejected is asked for again by itself."""
    if not missed:
        return
    rows = [
        {
            "key": one.key,
            "user": None if work.listing else int(one.key),
            "outcome": one.outcome,
            "reasons": one.reasons,
            "payload": one.payload,
            "again": one.outcome == "rejected",
            "most": one.most_attempts,
        }
        for one in {one.key: one for one in missed}.values()
    ]
    gone = sql.SQL(GONE).format(table=sql.Identifier(work.model._meta.table_name))
    outcome = sql.SQL("r.outcome") if work.listing else gone
    parameters = {
        "dataset": work.name,
        "rows": json.dumps(rows),
        "pause": FIRST_PAUSE,
        "longest": LONGEST_PAUSE,
        "most": min(one.most_attempts for one in missed),
    }
    database.execute_sql(sql.SQL(RECORD).format(outcome=outcome), parameters)


def clear(work: Work, rows: Rows) -> None:
    """Forget the misses of what has been stored now."""
    if Miss.select().where(Miss.dataset == work.name).exists():
        keys = [str(key[0]) for key in rows.keys] if work.listing else [*map(str, rows.users)]
        Miss.delete().where(Miss.dataset == work.name, Miss.key.in_(keys)).execute()
