"""Runs of the past: found by the beginning of an id, listed, and deleted when they are old."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import peewee

from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import Batch, Run
from celeryctl.storage.snapshot import ALIVE

CHUNK = 1000  # rows deleted in one transaction

# What is running, each data set's newest run, and the newest that counts for the schedule (see coverage) are kept.
OLD = """
  r.status <> 'running' AND r.finished_at < now() - %(age)s
  AND r.started_at < (SELECT max(n.started_at) FROM runs n WHERE n.dataset = r.dataset)
  AND (r.record_limit IS NOT NULL OR r.trigger = 'seed' OR r.started_at < (
    SELECT max(n.started_at) FROM runs n
    WHERE n.dataset = r.dataset AND n.record_limit IS NULL AND n.trigger <> 'seed'))
"""
COUNT_RUNS = "SELECT count(*) FROM runs r WHERE {old}"
PRUNE_RUNS = """
DELETE FROM runs WHERE id IN (
  SELECT r.id FROM runs r WHERE {old} ORDER BY r.finished_at LIMIT %(chunk)s FOR UPDATE SKIP LOCKED)
"""
# Whoever needs one again makes it: it costs one look at pages.
OLD_READINGS = "DELETE FROM readings WHERE read_at < now() - %(age)s"
SILENT = "FROM {table} WHERE seen_at < now() - greatest(%(age)s, %(alive)s)"


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows of the ledger were deleted, or would be."""

    runs: int
    workers: int
    beats: int


def by_prefix(prefix: str, most: int = 10) -> list[Run]:
    """The runs whose id begins like this, newest first."""
    with session():
        text = peewee.Cast(Run.id, "text")
        return list(Run.select().where(text.startswith(prefix.lower())).order_by(Run.started_at.desc()).limit(most))


def newest(limit: int, *, dataset: str | None = None, status: str | None = None) -> list[Run]:
    """The newest runs, newest first."""
    query = Run.select().order_by(Run.started_at.desc(), Run.id).limit(limit)
    if dataset:
        query = query.where(Run.dataset == dataset)
    if status:
        query = query.where(Run.status == status)
    with session():
        return list(query)


def children(run: Run) -> list[Run]:
    """The runs that its end has opened."""
    with session():
        return list(Run.select().where(Run.parent == run.id).order_by(Run.started_at))


def batches(run: Run) -> list[tuple[Batch, float]]:
    """The run's open batches, each with the seconds until it is due."""
    return _leases(Batch.run == run.id)


def batch(batch_id: int | None) -> tuple[Batch, float] | None:
    """This batch, with the seconds until it is due; None when it is done."""
    return next(iter(_leases(Batch.id == batch_id)), None)


def claimed_as(prefix: str) -> list[tuple[Batch, float]]:
    """The open batches that a worker took as the task whose id begins like this."""
    return _leases(Batch.task_id.startswith(prefix.lower()))


def _leases(which: Any) -> list[tuple[Batch, float]]:
    left = peewee.SQL("extract(epoch FROM t1.due - now())::float").alias("seconds")
    with session():
        found: Any = Batch.select(Batch, Run, left).join(Run).where(which).order_by(Batch.lo)
        return [(one, one.seconds) for one in found]


def prune(age: timedelta, *, dry_run: bool = False) -> Pruned:
    """Delete what ended, or fell silent, longer ago than ``age``, in transactions of a thousand rows at most."""
    parameters = {"age": age, "alive": ALIVE, "chunk": CHUNK}
    if dry_run:
        counts = [COUNT_RUNS.format(old=OLD), *(f"SELECT count(*) {one}" for one in _silent())]
        return Pruned(*(_count(one, parameters) for one in counts))
    runs = 0
    while deleted := _delete(PRUNE_RUNS.format(old=OLD), parameters):
        runs += deleted
    _delete(OLD_READINGS, parameters)
    return Pruned(runs, *(_delete(f"DELETE {one}", parameters) for one in _silent()))


def _silent() -> list[str]:
    return [SILENT.format(table=table) for table in ("workers", "beats")]


def _count(statement: str, parameters: dict[str, object]) -> int:
    with session():
        return int(database.execute_sql(statement, parameters).fetchone()[0])


def _delete(statement: str, parameters: dict[str, object]) -> int:
    with transaction():
        return int(database.execute_sql(statement, parameters).rowcount)
