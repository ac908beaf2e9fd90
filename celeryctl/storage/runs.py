"""Opening, joining, advancing, closing and cancelling runs."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

import peewee

from celeryctl.storage import totals
from celeryctl.storage.coverage import clock
from celeryctl.storage.database import transaction
from celeryctl.storage.ledger import Batch, Miss, Run
from celeryctl.storage.plan import all_there, batch_size, expected, plan
from celeryctl.storage.work import Work, Works

NOW = peewee.fn.now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run. ``limit`` counts records; ``followers`` are opened when the run ends; ``slot`` is beat's."""

    dataset: str
    trigger: str
    refresh: bool = False
    limit: int | None = None
    followers: tuple[str, ...] = ()
    slot: datetime | None = None
    parent: uuid.UUID | None = None


@dataclass(slots=True)
class Opened:
    """The run that an order led to. ``joined``: it was running already. ``batches`` are to be announced."""

    run: Run
    joined: bool = False
    batches: list[int] = field(default_factory=list)


def open_run(order: Order, works: Works) -> Opened | None:
    """Open a run with its first batches, or join the one of this data set that is running.

    None when the slot had its run before. A run with nothing to do is closed at once: beat believes the counters, and
    looks at some users beside; for everybody else every user is looked at.
    """
    with transaction():
        run = _insert(order, works[order.dataset])
        if run is None:
            return _join(order, works)
        work = works[order.dataset]
        run.expected = expected(run, work)
        run.batch_size = batch_size(work, run.expected)
        run.save(only=run.dirty_fields)
        idle = order.trigger == "schedule" and run.expected == 0 and all_there(run, work)
        batches = close(run, works) if idle else advance(run, works)
        return Opened(Run.get_by_id(run.id), batches=batches)


def stale_before(order: Order, work: Work) -> datetime | None:
    """From when on a row is fresh enough; None when every row is."""
    if order.refresh:
        return clock()
    return None if work.max_age is None else clock() - work.max_age


def _insert(order: Order, work: Work) -> Run | None:
    rows = (
        Run.insert(
            id=uuid.uuid4(),
            dataset=order.dataset,
            trigger=order.trigger,
            slot=order.slot,
            parent=order.parent,
            followers=list(order.followers),
            refresh=order.refresh,
            stale_before=stale_before(order, work),
            record_limit=order.limit,
            page_size=min(work.page_size, order.limit or work.page_size),
            batch_size=work.batch_size,
        )
        .on_conflict_ignore()
        .returning(Run)
    )
    return next(iter(rows), None)


def _join(order: Order, works: Works) -> Opened | None:
    run = running(order.dataset, lock=True)
    if run is None:
        # Either this slot had its run, or the other run ended just now.
        return None if order.slot else open_run(order, works)
    missing = [name for name in order.followers if name not in run.followers]
    # What asks for something else does not join in the end: it leaves no trace.
    if missing and (run.refresh, run.record_limit) == (order.refresh, order.limit):
        Run.update(followers=run.followers + missing).where(Run.id == run.id).execute()
    return Opened(run, joined=True)


def running(dataset: str, *, lock: bool = False) -> Run | None:
    """The data set's run that is not over, if there is one."""
    query = Run.select().where(Run.dataset == dataset, Run.status == "running")
    found: Run | None = (query.for_update() if lock else query).first()
    return found


def advance(run: Run, works: Works) -> list[int]:
    """Plan what comes next in a locked run and close it when nothing is left. Returns the batches to announce."""
    if run.status != "running":
        return []
    batches = [] if run.error else plan(run, works[run.dataset])
    if not batches and not Batch.select().where(Batch.run == run).exists():
        batches = close(run, works)
    return batches


def close(run: Run, works: Works) -> list[int]:
    """End a run that has no open batch, and open the runs that were to follow it."""
    stored = run.created + run.updated + run.unchanged
    status = "failed" if run.error and not stored else "partial" if run.error or run.rejected else "succeeded"
    (closed,) = Run.update(status=status, finished_at=NOW).where(Run.id == run.id).returning(Run.finished_at)
    if works[run.dataset].listing and not run.error and run.record_limit is None:
        # A whole listing was read: what it no longer rejects is no longer a miss.
        Miss.delete().where(Miss.dataset == run.dataset, Miss.tried_at < run.started_at).execute()
    batches: list[int] = []
    for name in run.followers:
        order = Order(dataset=name, trigger=run.trigger, refresh=run.refresh, limit=run.record_limit, parent=run.id)
        opened = open_run(order, works)
        batches += opened.batches if opened else []
    ended: datetime = closed.finished_at
    took = (ended - run.started_at).total_seconds()
    totals.add(run.dataset, run=took, success=None if run.error else ended)
    return batches


def record(run: Run) -> None:
    """Note work that is done already, in a run that was never open."""
    with transaction():
        run.status, run.finished_at = "succeeded", clock()
        run.save(force_insert=True)
        took = (run.finished_at - run.started_at).total_seconds()
        totals.add(run.dataset, rows={name: getattr(run, name) for name in totals.ROWS}, run=took)


def cancel(run_id: uuid.UUID) -> bool:
    """Stop a run: what is stored stays. False when it was over already.

    Batches that are being finished at this moment end by themselves: finishing finds the run no longer running.
    """
    with transaction():
        run = Run.select().where(Run.id == run_id, Run.status == "running").for_update().first()
        if run is None:
            return False
        free = Batch.select(Batch.id).where(Batch.run == run).for_update(skip_locked=True)
        Batch.delete().where(Batch.id.in_([batch.id for batch in free])).execute()
        Run.update(status="cancelled", finished_at=NOW).where(Run.id == run.id).execute()
        return True


def cancel_all(run_id: uuid.UUID) -> None:
    """Stop a run and those that its end has opened."""
    with transaction():
        for run in Run.select(Run.id).where((Run.id == run_id) | (Run.parent == run_id)):
            cancel(run.id)


def successor(parent: Run, dataset: str) -> Run | None:
    """The run of ``dataset`` that followed ``parent``: opened by its end, or under way at that moment."""
    during = Run.finished_at.is_null() | (Run.finished_at >= parent.finished_at)
    theirs = peewee.fn.coalesce(Run.parent == parent.id, False)
    query = Run.select().where(Run.dataset == dataset, during).order_by(theirs.desc(), Run.started_at)
    found: Run | None = query.first()
    return found


def latest(dataset: str) -> Run | None:
    """The data set's newest run."""
    found: Run | None = Run.select().where(Run.dataset == dataset).order_by(Run.started_at.desc()).first()
    return found
