"""What the pages of a listing held when they were last read: what comes again to the byte needs no second look.

A batch of pages is known as long as nobody has touched the rows that came of it, and nothing is missed among them. What
DDL does to their columns is not noticed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import peewee
from psycopg2 import sql

from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database
from celeryctl.storage.row import Row
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import Written, upsert

if TYPE_CHECKING:
    from celeryctl.storage.batches import Claim

# Every version of a row bears the number of the transaction that wrote it (PostgreSQL manual, "System Columns"): when
# somebody inserts, changes or deletes a row among these, their number or this sum is another one.
MARK = """SELECT count(*) || ' ' || coalesce(sum(hashint8extended({column}::bigint, xmin::text::bigint)), 0)
FROM {table} WHERE {column} BETWEEN {least} AND {greatest}
"""
# A miss is cleared when its record has come after all: then the batch has to be read.
RECALL = """
SELECT r.digests, r.records FROM readings r
WHERE r.dataset = %(dataset)s AND r.lo = %(lo)s AND r.hi = %(hi)s AND r.page_size = %(size)s AND r.mark = ({mark})
  AND NOT EXISTS (SELECT FROM misses m WHERE m.dataset = r.dataset
                  AND CASE WHEN m.key ~ '^[0-9]{{1,18}}$' THEN m.key::bigint BETWEEN r.least AND r.greatest END)
"""
REMEMBER = """
INSERT INTO readings (dataset, lo, hi, page_size, digests, records, least, greatest, mark)
VALUES (%(dataset)s, %(lo)s, %(hi)s, %(size)s, %(digests)s, %(records)s, %(least)s, %(greatest)s, %(mark)s)
ON CONFLICT (dataset, lo) DO UPDATE
SET hi = excluded.hi, page_size = excluded.page_size, digests = excluded.digests, records = excluded.records,
    least = excluded.least, greatest = excluded.greatest, mark = excluded.mark, read_at = now()
"""


@dataclass(slots=True)
class Reading:
    """A batch of pages in their order: the digest of each, and how many records it holds."""

    digests: list[str]
    records: list[int]


def kept(model: type[peewee.Model], key: Sequence[str]) -> bool:
    """Whether readings are kept of such listings: of those told apart by one number, whose rows need no confirming."""
    number = len(key) == 1 and isinstance(model._meta.fields[key[0]], peewee.IntegerField)
    return number and not issubclass(model, Row)


def recall(claim: "Claim", model: type[peewee.Model], key: Sequence[str]) -> Reading | None:
    """The last reading of these pages, if its rows are still what it left. For listings of which readings are kept."""
    if claim.run.refresh or claim.run.record_limit is not None:
        return None
    mark = _mark(model, key, sql.SQL("r.least"), sql.SQL("r.greatest"))
    row = database.execute_sql(sql.SQL(RECALL).format(mark=mark), _place(claim)).fetchone()
    return Reading(*row) if row else None


def store(claim: "Claim", rows: Rows, reading: Reading, keyring: Keyring) -> Written:
    """Write the rows that came of these pages, and remember the pages where each record is one of the rows."""
    rows.arrange()
    before = _mark_of(rows)
    written = upsert(rows, keyring)
    # Rows that are left as they are others may change meanwhile. What is new nobody else sees yet.
    same, new = written.unchanged == len(rows), written.created == len(rows)
    mark = before if same else _mark_of(rows) if new else None
    if mark is not None and sum(reading.records) == len(rows):
        found = {"digests": reading.digests, "records": reading.records, "mark": mark}
        database.execute_sql(REMEMBER, _place(claim) | _ends(rows) | found)
    return written


def _mark_of(rows: Rows) -> str | None:
    """What becomes another text when one of these rows changes; None where too many others lie among them."""
    ends = _ends(rows)
    numbers = all(type(key[0]) is int for key in rows.keys)  # a text may stand for one
    if not numbers or ends["greatest"] - ends["least"] >= 2 * len(rows):
        return None
    mark = _mark(rows.model, rows.key, sql.Placeholder("least"), sql.Placeholder("greatest"))
    return str(database.execute_sql(mark, ends).fetchone()[0])


def _ends(rows: Rows) -> dict[str, Any]:
    return {"least": rows.keys[0][0], "greatest": rows.keys[-1][0]}


def _mark(
    model: type[peewee.Model], key: Sequence[str], least: sql.Composable, greatest: sql.Composable
) -> sql.Composed:
    table, column = model._meta.table_name, model._meta.fields[key[0]].column_name
    names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    return sql.SQL(MARK).format(**names, least=least, greatest=greatest)


def _place(claim: "Claim") -> dict[str, object]:
    return {"dataset": claim.run.dataset, "lo": claim.lo, "hi": claim.hi, "size": claim.run.page_size}
