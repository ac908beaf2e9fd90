"""Cutting a run into batches, a window of them at a time. The caller has locked the run in a transaction."""

import peewee

from celeryctl.storage.database import database
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.work import Work

WINDOW = 32  # open batches of a run: what a cluster needs to stay busy, and what a lost broker has to be told again
ANNOUNCE = 5  # seconds after which an unclaimed batch is announced again

# A user wants a row when it has none that is fresh enough, unless asking was tried and is not due again.
WANTING = """
  FROM users u LEFT JOIN misses m ON m.dataset = %(dataset)s AND m.key = u.id::text
  WHERE {range}
    AND NOT EXISTS (SELECT FROM "{table}" t WHERE t.user_id = u.id
                    AND (%(stale)s::timestamptz IS NULL OR t.fetched_at >= %(stale)s::timestamptz))
    AND (m.key IS NULL OR m.next_try <= now()
         OR (m.tried_at < %(stale)s::timestamptz AND (%(refresh)s OR m.outcome IN ('none', 'gone'))))
"""

PLAN_USERS = """
WITH wanting AS (SELECT u.id, row_number() OVER (ORDER BY u.id) - 1 AS n {wanting} ORDER BY u.id LIMIT %(most)s),
planned AS (
  INSERT INTO batches (run_id, lo, hi, due)
  SELECT %(run)s, min(id), max(id), now() + %(announce)s * interval '1 second' FROM wanting GROUP BY n / %(size)s
  RETURNING id)
SELECT coalesce((SELECT array_agg(id ORDER BY id) FROM planned), '{{}}'), coalesce(max(id), 0), count(*) FROM wanting
"""


def plan(run: Run, work: Work) -> list[int]:
    """Insert the next batches of ``run``, up to the window. Returns their ids; none when all is planned."""
    room = WINDOW - Batch.select().where(Batch.run == run).count()
    if room <= 0:
        return []
    return _plan_pages(run, work, room) if work.listing else _plan_users(run, work, room)


def _plan_pages(run: Run, work: Work, room: int) -> list[int]:
    last = last_page(run)
    if run.bound is None:
        # How many pages there are is known from the first answer at the earliest; until then one batch at a time.
        room = 1 if room == WINDOW else 0
    pages = max(1, work.batch_size // run.page_size)
    batches = []
    while room > 0 and (last is None or run.cursor < last):
        lo, hi = run.cursor + 1, run.cursor + pages
        run.cursor = hi if last is None else min(hi, last)
        batches.append({"run": run, "lo": lo, "hi": run.cursor, "due": _announcement()})
        run.planned += (run.cursor - lo + 1) * run.page_size
        room -= 1
    Run.update(cursor=run.cursor, planned=run.planned).where(Run.id == run.id).execute()
    return [batch.id for batch in Batch.insert_many(batches).returning(Batch.id)] if batches else []


def last_page(run: Run) -> int | None:
    """The last page that this run asks for, None while that is unknown."""
    capped = None if run.record_limit is None else -(-run.record_limit // run.page_size)
    known = [page for page in (run.bound, capped) if page is not None]
    return min(known) if known else None


def _plan_users(run: Run, work: Work, room: int) -> list[int]:
    most = room * run.batch_size
    if run.record_limit is not None:
        most = min(most, run.record_limit - run.planned)
    wanting = WANTING.format(range="u.id > %(cursor)s", table=work.model._meta.table_name)
    parameters = _parameters(run) | {
        "cursor": run.cursor, "most": most, "run": str(run.id), "announce": ANNOUNCE, "size": run.batch_size
    }  # fmt: skip
    ids, cursor, count = database.execute_sql(PLAN_USERS.format(wanting=wanting), parameters).fetchone()
    run.cursor, run.planned = max(run.cursor, cursor), run.planned + count
    Run.update(cursor=run.cursor, planned=run.planned).where(Run.id == run.id).execute()
    return list(ids)


def wanting(run: Run, work: Work, lo: int, hi: int) -> list[tuple[int, int]]:
    """The (id, external_id) of the users from ``lo`` to ``hi`` that still want a row, in the order of their ids."""
    query = WANTING.format(range="u.id BETWEEN %(lo)s AND %(hi)s", table=work.model._meta.table_name)
    parameters = _parameters(run) | {"lo": lo, "hi": hi}
    return list(database.execute_sql(f"SELECT u.id, u.external_id {query} ORDER BY u.id", parameters).fetchall())


def expected(run: Run, work: Work) -> int | None:
    """How many records the run will ask for; None where only the source knows."""
    if work.listing:
        return None
    query = WANTING.format(range="true", table=work.model._meta.table_name)
    (count,) = database.execute_sql(f"SELECT count(*) {query}", _parameters(run)).fetchone()
    return int(count) if run.record_limit is None else min(int(count), run.record_limit)


def _parameters(run: Run) -> dict[str, object]:
    return {"dataset": run.dataset, "stale": run.stale_before, "refresh": run.refresh}


def _announcement() -> peewee.SQL:
    return peewee.SQL("now() + %s * interval '1 second'", [ANNOUNCE])
