"""What the pages of a listing held when they were last read: what comes again to the byte needs no second look.

A reading is believed only as long as nobody has touched the rows that came of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import peewee

from celeryctl.storage.database import database
from celeryctl.storage.row import Row
from celeryctl.storage.rows import Rows

if TYPE_CHECKING:
    from celeryctl.storage.batches import Claim

# Every version of a row bears the number of the transaction that wrote it (PostgreSQL manual, "System Columns"): as
# soon as anybody has inserted, changed or deleted a row among these, their number or this sum is another one.
MARK = """SELECT count(*) || ' ' || coalesce(sum(xmin::text::bigint), 0)
FROM "{table}" WHERE "{column}" BETWEEN {least} AND {greatest}
"""
RECALL = """
SELECT r.digest, r.rows FROM readings r
WHERE r.dataset = %(dataset)s AND r.lo = %(lo)s AND r.hi = %(hi)s AND r.page_size = %(size)s
  AND r.read_at > now() - %(within)s * interval '1 second' AND r.mark = ({mark})
"""
REMEMBER = """
INSERT INTO readings (dataset, lo, hi, page_size, digest, rows, least, greatest, mark)
VALUES (%(dataset)s, %(lo)s, %(hi)s, %(size)s, %(digest)s, %(rows)s, %(least)s, %(greatest)s, %(mark)s)
ON CONFLICT (dataset, lo) DO UPDATE
SET hi = excluded.hi, page_size = excluded.page_size, digest = excluded.digest, rows = excluded.rows,
    least = excluded.least, greatest = excluded.greatest, mark = excluded.mark, read_at = now()
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A batch of pages: the digest of their bodies, and how many rows they were."""

    digest: bytes
    rows: int


def recall(claim: "Claim", model: type[peewee.Model], key: Sequence[str], *, within: float) -> Reading | None:
    """The last reading of these pages, of the last ``within`` seconds, if its rows are still what it wrote."""
    if claim.run.refresh or claim.run.record_limit is not None:
        return None
    mark = _mark(model, key).format(least="r.least", greatest="r.greatest")
    row = database.execute_sql(RECALL.format(mark=mark), _place(claim) | {"within": within}).fetchone()
    return Reading(bytes(row[0]), row[1]) if row else None


def remember(claim: "Claim", rows: Rows, digest: bytes, mark: str) -> None:
    """Note what these pages held; ``mark`` is that of the rows that came of them."""
    least, greatest = rows.keys[0][0], rows.keys[-1][0]
    found = {"digest": digest, "rows": len(rows), "least": least, "greatest": greatest, "mark": mark}
    database.execute_sql(REMEMBER, _place(claim) | found)


def mark(rows: Rows) -> str | None:
    """What becomes another text as soon as one of these rows changes; None where there is no such text.

    There is none for rows that are to be confirmed whenever they come again, nor where others lie among them.
    """
    rows.arrange()
    keys = [key[0] for key in (rows.keys[0], rows.keys[-1])]
    if issubclass(rows.model, Row) or len(rows.key) > 1 or [*map(type, keys)] != [int, int]:
        return None
    if keys[1] - keys[0] >= 2 * len(rows):
        return None
    found = database.execute_sql(_mark(rows.model, rows.key).format(least="%s", greatest="%s"), keys).fetchone()
    return str(found[0])


def _mark(model: type[peewee.Model], key: Sequence[str]) -> str:
    table, column = model._meta.table_name, model._meta.fields[key[0]].column_name
    return MARK.format(table=table, column=column, least="{least}", greatest="{greatest}")


def _place(claim: "Claim") -> dict[str, object]:
    return {"dataset": claim.run.dataset, "lo": claim.lo, "hi": claim.hi, "size": claim.run.page_size}
