"""A batch's way: claim, renew, finish or fail.

Messages are hints. Whoever holds the latest token of a batch may finish it; everybody else finds nothing to do.
"""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import peewee

from celeryctl.errors import CeleryctlError, SourceError, SourceUnreachableError
from celeryctl.logs import mask
from celeryctl.storage import outcomes, rates, runs, sources, totals
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, transaction
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.misses import clear, record
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.plan import ANNOUNCE
from celeryctl.storage.work import Works

LEASE = 6.0  # seconds; a holder renews it every third, so that a dead one is noticed within ten

CLAIM = """
UPDATE batches b SET attempts = attempts + 1, token = nextval('tokens'), due = now() + %(lease)s * interval '1 second',
  holder = %(holder)s, task_id = %(task)s
WHERE b.id = (SELECT c.id FROM batches c JOIN runs r ON r.id = c.run_id AND r.status = 'running'
              WHERE {which} AND (c.token IS NULL OR c.due < now())
              ORDER BY c.lo LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
RETURNING b.id, b.run_id, b.lo, b.hi, b.attempts, b.token
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch in our hands until its lease ends. ``token`` proves it."""

    id: int
    run: Run
    lo: int
    hi: int
    attempts: int
    token: int


def claim(batch_id: int, *, holder: str | None = None, task_id: str | None = None) -> Claim | None:
    """Take this batch for the node ``holder``. None when it is done, gone, or in somebody's hands."""
    return _claim("c.id = %(id)s", {"id": batch_id, "holder": holder, "task": task_id})


def claim_next(run_id: uuid.UUID, *, holder: str | None = None) -> Claim | None:
    """Take any batch of the run that is free."""
    return _claim("c.run_id = %(run)s", {"run": str(run_id), "holder": holder, "task": None})


def _claim(which: str, parameters: Mapping[str, object]) -> Claim | None:
    with transaction():
        row = database.execute_sql(CLAIM.format(which=which), {**parameters, "lease": LEASE}).fetchone()
        return Claim(row[0], Run.get_by_id(row[1]), *row[2:]) if row else None


def renew(claimed: Claim) -> bool:
    """Hold the batch for another lease. False when it is no longer ours: stop."""
    due = peewee.SQL("now() + %s * interval '1 second'", [LEASE])
    with transaction():
        return bool(Batch.update(due=due).where(Batch.id == claimed.id, Batch.token == claimed.token).execute())


def finish(claimed: Claim, outcome: Outcome, works: Works, keyring: Keyring) -> list[int] | None:
    """Store the outcome, count it, plan what comes next: all of it or nothing.

    Returns the batches to announce, None when the batch is no longer ours: then nothing is written.
    """
    with transaction():
        if not _drop(claimed):
            return None
        work = works[claimed.run.dataset]
        if outcome.missed and not work.listing:
            outcomes.hold_users(outcome)
        written = outcome.written = outcomes.store(claimed, outcome, keyring)
        if outcome.rows:
            clear(work, outcome.rows)
        record(work, outcome.missed)
        if stored := written.created + written.updated + written.unchanged:
            rates.count(claimed.run.dataset, stored)
        run = _lock(claimed.run.id)
        absent = sum(missed.outcome == "none" for missed in outcome.missed)
        rows = {**asdict(written), "rejected": len(outcome.missed) - absent}
        for name, count in rows.items():
            setattr(run, name, getattr(run, name) + count)
        run.absent += absent
        outcomes.count(run, outcome)
        if work.listing:
            outcomes.turn_pages(run, outcome)
        run.save(only=run.dirty_fields)
        following = runs.advance(run, works)
        totals.add(run.dataset, rows=rows, requests=outcome.timings)
        return following


def fail(claimed: Claim, works: Works, outcome: Outcome, error: CeleryctlError) -> list[int]:
    """Give the batch up, and with it what nobody has begun. The next run plans again.

    Of a source that is to blame it is noted, once for every run.
    """
    why = mask(str(error))  # a source chooses the names of hosts, and a data set's code those of columns
    with transaction():
        if not _drop(claimed):
            return []
        run = _lock(claimed.run.id)
        # Under the run's lock: whoever finished a batch just now has planned more of them.
        free = Batch.select(Batch.id).where(Batch.run == run, Batch.token.is_null())
        waiting = [batch.id for batch in free.for_update(skip_locked=True)]
        Batch.delete().where(Batch.id.in_(waiting)).execute()
        if isinstance(error, SourceError | SourceUnreachableError):
            asked = error.retry_after if isinstance(error, SourceUnreachableError) else None
            sources.failed(run.dataset, why, retry_after=asked, again=bool(run.error))
        run.error, run.error_exit = why, error.exit_code
        outcomes.count(run, outcome)
        run.save(only=run.dirty_fields)
        following = runs.advance(run, works)
        totals.add(run.dataset, requests=outcome.timings)
        return following


def put_back(claimed: Claim, *, counted: bool) -> None:
    """Let go of a batch that could not be done, to be taken again at once; uncounted where it was not to blame."""
    attempts = Batch.attempts if counted else Batch.attempts - 1
    with transaction():
        ours = (Batch.id == claimed.id, Batch.token == claimed.token)
        Batch.update(token=None, attempts=attempts, due=runs.NOW).where(*ours).execute()


def split(claimed: Claim) -> list[int]:
    """Cut a batch whose holders died in two, so that in the end the record that kills them stands alone."""
    middle = (claimed.lo + claimed.hi) // 2
    due = peewee.SQL("now() + %s * interval '1 second'", [ANNOUNCE])
    pieces = [(claimed.lo, middle), (middle + 1, claimed.hi)]
    with transaction():
        if not _drop(claimed):
            return []
        rows = [{"run": claimed.run.id, "lo": lo, "hi": hi, "attempts": 1, "due": due} for lo, hi in pieces]
        return [batch.id for batch in Batch.insert_many(rows).returning(Batch.id)]


def _drop(claimed: Claim) -> bool:
    return bool(Batch.delete().where(Batch.id == claimed.id, Batch.token == claimed.token).execute())


def _lock(run_id: uuid.UUID) -> Run:
    return Run.select().where(Run.id == run_id).for_update().get()
