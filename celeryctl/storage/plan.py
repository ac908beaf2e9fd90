"""Cutting a run into batches, a window of them at a time. The caller has locked the run in a transaction."""

import peewee
from psycopg2 import sql

from celeryctl.storage.database import database
from celeryctl.storage.ledger import Batch, Run, SourceState, Worker
from celeryctl.storage.snapshot import ALIVE
from celeryctl.storage.work import Work

AT_ONCE = 2  # batches planned in one go at least: the first are to be worked on while others are planned
WINDOW = 4  # open batches of a run at least: what a lost broker has to be told again, however many users there are
SHARES = 10  # batches that a run is cut into at least,
SMALLEST = 1000  # records, unless its batches became smaller than this
SAMPLE = 10_000  # users looked at where the counters say that none lacks a row
IN_GO, IN_HAND, IN_ALL = 1, 2, 4  # batches for every process at least: planned in one go, open, and in a whole run
ANNOUNCE = 5  # seconds after which an unclaimed batch is announced again

# A user wants a row when it has none that is fresh enough, unless asking was tried and is not due again. The range is
# said of both tables: from the one the planner does not conclude where in the other it may begin.
WANTING = """
  FROM users u
  WHERE u.id {range}
    AND NOT EXISTS (SELECT FROM {table} t WHERE t.user_id = u.id AND t.user_id {range}
                    AND (%(stale)s::timestamptz IS NULL OR t.fetched_at >= %(stale)s::timestamptz))
    AND NOT EXISTS (SELECT FROM misses m WHERE m.dataset = %(dataset)s AND m.key = u.id::text
                    AND (m.next_try <= now() OR (m.tried_at < %(stale)s::timestamptz
                         AND (%(refresh)s OR m.outcome IN ('none', 'gone')))) IS NOT TRUE)
"""

# Each table along its key, and no further than the window reaches. Of tables that have grown since they were last
# analysed the planner knows too little to see that it need not read and sort them whole.
ALONG_KEYS = "".join(f"SET LOCAL enable_{way} = {{0}};" for way in ("hashjoin", "seqscan", "bitmapscan"))

PLAN_USERS = """
WITH cut AS MATERIALIZED (
  SELECT min(id) AS lo, max(id) AS hi, count(*) AS records
  FROM (SELECT u.id, row_number() OVER (ORDER BY u.id) - 1 AS n {wanting} ORDER BY u.id LIMIT %(most)s) AS wanting
  GROUP BY n / %(size)s),
planned AS (
  INSERT INTO batches (run_id, lo, hi, due)
  SELECT %(run)s, lo, hi, now() + %(announce)s * interval '1 second' FROM cut ORDER BY lo RETURNING id)
SELECT coalesce((SELECT array_agg(id ORDER BY id) FROM planned), '{{}}'), coalesce(max(hi), 0),
       coalesce(sum(records), 0)::bigint
FROM cut
"""

# How many users want a row when no row is too old: counted by triggers, but for those whose miss stands in the way.
LACKING = """
SELECT (SELECT sum(rows) FROM counts WHERE table_name = 'users')
  - (SELECT sum(rows) FROM counts WHERE table_name = %(table)s)
  - (SELECT count(*) FROM misses m WHERE m.dataset = %(dataset)s AND m.user_id IS NOT NULL
     AND (m.next_try <= now()) IS NOT TRUE AND NOT EXISTS (SELECT FROM {table} r WHERE r.user_id = m.user_id))
"""
# Drawn from before the first one to behind the last, else those would hardly ever be among them; then moved inside.
ANYWHERE = """
SELECT greatest(least(ceil(random() * (max(id) + %(sample)s)) - %(sample)s, max(id) - %(sample)s + 1), 1)::bigint
FROM users
"""
ENDS = "SELECT min(id), max(id) FROM (SELECT id FROM users WHERE id >= %s ORDER BY id LIMIT %s) AS taken"


def plan(run: Run, work: Work) -> list[int]:
    """Insert the next batches of ``run``, up to the window. Returns their ids; none when all is planned."""
    processes, open_ = _processes(), Batch.select().where(Batch.run == run).count()
    room = min(max(AT_ONCE, IN_GO * processes), max(WINDOW, IN_HAND * processes) - open_)
    if not run.planned and _is_failing(run.dataset):
        room = 1  # one batch finds out whether it still does
    if room <= 0:
        return []
    return _plan_pages(run, work, room) if work.listing else _plan_users(run, work, room)


def _processes() -> int:
    """How many processes the living workers have."""
    query = Worker.select(peewee.fn.sum(Worker.concurrency)).where(Worker.seen_at > peewee.fn.now() - ALIVE)
    return query.scalar() or 0


def _is_failing(dataset: str) -> bool:
    """Whether the data set's source gave nothing of use when it was asked last."""
    return SourceState.select().where(SourceState.name == dataset, SourceState.error.is_null(False)).exists()


def _plan_pages(run: Run, work: Work, room: int) -> list[int]:
    last = last_page(run)
    if run.bound is None:
        # How many pages there are is known from the first answer at the earliest; until then one batch at a time.
        room = 0 if Batch.select().where(Batch.run == run).exists() else 1
    pages = _pages(run, work)
    batches = []
    while room > 0 and (last is None or run.cursor < last):
        lo, hi = run.cursor + 1, run.cursor + pages
        run.cursor = hi if last is None else min(hi, last)
        batches.append({"run": run, "lo": lo, "hi": run.cursor, "due": _announcement()})
        run.planned += (run.cursor - lo + 1) * run.page_size
        room -= 1
    Run.update(cursor=run.cursor, planned=run.planned).where(Run.id == run.id).execute()
    return [batch.id for batch in Batch.insert_many(batches).returning(Batch.id)] if batches else []


def _pages(run: Run, work: Work) -> int:
    """How many pages make a batch. The first page tells how many there are, and is asked for alone."""
    most = max(1, work.batch_size // run.page_size)
    if run.bound is None:
        return most if run.cursor else 1
    return min(most, -(-batch_size(work, run.bound * run.page_size) // run.page_size))


def batch_size(work: Work, records: int | None) -> int:
    """How many records make a batch where a run has so many."""
    if records is None:
        return work.batch_size
    share = -(-records // max(SHARES, IN_ALL * _processes()))
    return min(work.batch_size, max(SMALLEST, share))


def last_page(run: Run) -> int | None:
    """The last page that this run asks for, None while that is unknown."""
    capped = None if run.record_limit is None else -(-run.record_limit // run.page_size)
    known = [page for page in (run.bound, capped) if page is not None]
    return min(known) if known else None


def _plan_users(run: Run, work: Work, room: int) -> list[int]:
    most = room * run.batch_size
    if run.record_limit is not None:
        most = min(most, run.record_limit - run.planned)
    wanting = _wanting(work, "> %(cursor)s")
    parameters = _parameters(run) | {
        "cursor": run.cursor, "most": most, "run": str(run.id), "announce": ANNOUNCE, "size": run.batch_size
    }  # fmt: skip
    database.execute_sql(ALONG_KEYS.format("off"))
    ids, cursor, count = database.execute_sql(sql.SQL(PLAN_USERS).format(wanting=wanting), parameters).fetchone()
    database.execute_sql(ALONG_KEYS.format("DEFAULT"))
    run.cursor, run.planned = max(run.cursor, cursor), run.planned + count
    Run.update(cursor=run.cursor, planned=run.planned).where(Run.id == run.id).execute()
    return list(ids)


def wanting(run: Run, work: Work, lo: int, hi: int) -> list[tuple[int, int]]:
    """The (id, external_id) of the users from ``lo`` to ``hi`` that still want a row, in the order of their ids."""
    wanted = _wanting(work, "BETWEEN %(lo)s AND %(hi)s")
    query = sql.SQL("SELECT u.id, u.external_id {} ORDER BY u.id").format(wanted)
    return list(database.execute_sql(query, _parameters(run) | {"lo": lo, "hi": hi}).fetchall())


def _wanting(work: Work, users: str) -> sql.Composed:
    """Who of these users wants a row."""
    table = sql.Identifier(work.model._meta.table_name)
    return sql.SQL(WANTING).format(range=sql.SQL(users), table=table)


def expected(run: Run, work: Work) -> int | None:
    """How many records the run will ask for; None where only the source knows."""
    if work.listing:
        return None
    count = _lacking(run, work) if work.single and run.stale_before is None else None
    if count is None:
        query = sql.SQL("SELECT count(*) {}").format(_wanting(work, "IS NOT NULL"))
        (count,) = database.execute_sql(query, _parameters(run)).fetchone()
    return int(count) if run.record_limit is None else min(int(count), run.record_limit)


def _lacking(run: Run, work: Work) -> int | None:
    """What the counters say, whatever the size of the tables; None where they say nothing, or nonsense."""
    table = work.model._meta.table_name
    parameters = {"dataset": run.dataset, "table": table}
    query = sql.SQL(LACKING).format(table=sql.Identifier(table))
    (count,) = database.execute_sql(query, parameters).fetchone()
    # More rows than users: no word of theirs is to be believed.
    return None if count is None or count < 0 else int(count)


def all_there(run: Run, work: Work) -> bool:
    """Whether the counters are right that nobody wants a row, as far as some thousand users tell, taken anywhere.

    They are wrong after rows went with triggers switched off. Nobody is less likely to be looked at than those in the
    midst.
    """
    (anywhere,) = database.execute_sql(ANYWHERE, {"sample": SAMPLE}).fetchone()
    ends = database.execute_sql(ENDS, (anywhere, SAMPLE)).fetchone()
    return not wanting(run, work, *ends)


def _parameters(run: Run) -> dict[str, object]:
    return {"dataset": run.dataset, "stale": run.stale_before, "refresh": run.refresh}


def _announcement() -> peewee.SQL:
    return peewee.SQL("now() + %s * interval '1 second'", [ANNOUNCE])
