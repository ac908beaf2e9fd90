"""What the tests of the ledger share: two small data sets, people, and a batch's way in one call."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import psycopg2
from waiting import eventually

from celeryctl.datasets.addresses import Address
from celeryctl.storage import batches, plan, runs
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.rows import Rows
from celeryctl.storage.user import User
from celeryctl.storage.work import Work, Works

T = TypeVar("T")
PLACE = dict.fromkeys(("street_number", "street_name", "city", "state", "country", "postal_code"), "x")
KEYS = {"users": ("external_id",), "addresses": ("user",)}
RING = Keyring([])
WORKS = {
    "users": Work(name="users", model=User, listing=True, page_size=2, batch_size=4),
    "addresses": Work(name="addresses", model=Address, listing=False, page_size=2, batch_size=3),
}


def sql(statement: str, *parameters: object) -> Any:
    with session():
        cursor = database.execute_sql(statement, parameters or None)
        return cursor.fetchall() if cursor.description else None


def people(count: int) -> list[int]:
    """The ids of so many new users, in their order."""
    statement = """INSERT INTO users (external_id, name, username, email)
      SELECT coalesce((SELECT max(external_id) FROM users), 0) + n, 'n', 'u', 'e' FROM generate_series(1, %s) n
      ORDER BY n RETURNING id"""
    return [row[0] for row in sql(statement, count)]


def order(dataset: str = "addresses", *, works: Works = WORKS, **more: Any) -> runs.Opened:
    opened = runs.open_run(runs.Order(dataset=dataset, trigger="test", **more), works)
    assert opened is not None
    return opened


def take(batch_id: int) -> batches.Claim:
    claim = batches.claim(batch_id)
    assert claim is not None
    return claim


def finish(claim: batches.Claim, *missed: Missed, **more: Any) -> list[int] | None:
    """Finish with an address for every user that wants one, or for a listing with the records of ``rows``."""
    rows = more.pop("rows", None)
    if rows is None and claim.run.dataset == "addresses":
        with session():
            wanted = plan.wanting(claim.run, WORKS["addresses"], claim.lo, claim.hi)
        rows = [{"user": user_id, **PLACE} for user_id, _ in wanted if str(user_id) not in {one.key for one in missed}]
    rows = Rows(WORKS[claim.run.dataset].model, KEYS[claim.run.dataset], rows or [])
    return batches.finish(claim, Outcome(rows, list(missed), requests=1, **more), WORKS, RING)


def drain(opened: runs.Opened, *missed: Missed) -> Run:
    """Work through a run of addresses to its end."""
    while claim := batches.claim_next(opened.run.id):
        finish(claim, *(one for one in missed if claim.lo <= int(one.key) <= claim.hi))
    return reload(opened.run)


def reload(run: Run) -> Run:
    with session():
        found: Run = Run.get_by_id(run.id)
        return found


def open_batches() -> list[tuple[int, int]]:
    with session():
        return [(batch.lo, batch.hi) for batch in Batch.select().order_by(Batch.lo)]


def overdue(seconds: float = 60) -> None:
    """Let that time pass for every batch."""
    sql("UPDATE batches SET due = due - %s * interval '1 second'", seconds)


def running_ids() -> list[str]:
    return [row[0] for row in sql("SELECT dataset FROM runs WHERE status = 'running' ORDER BY dataset")]


def while_held(url: str, held: str, change: Callable[[], T]) -> T:
    """What the change returns, begun while a transaction holds what ``held`` takes, which ends at the second wait."""
    waits: set[Any] = set()

    def is_second(cursor: Any) -> bool:
        cursor.execute("SELECT waitstart FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL")
        waits.update(cursor.fetchall())
        return len(waits) > 1

    with closing(psycopg2.connect(url)) as holder, closing(psycopg2.connect(url)) as other, ThreadPoolExecutor(1) as do:
        holder.cursor().execute(held)
        other.autocommit = True
        cursor = other.cursor()
        changing = do.submit(change)
        try:
            eventually(lambda: is_second(cursor) or changing.done())
        finally:
            holder.rollback()
        return changing.result()
