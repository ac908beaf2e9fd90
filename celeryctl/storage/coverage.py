"""What the stats count, and the schedule's memory: when each data set ran last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import peewee

from celeryctl.storage.database import database
from celeryctl.storage.ledger import Batch, Miss, Run, SourceState, Worker
from celeryctl.storage.row import EncryptedField, dicts
from celeryctl.storage.user import User
from celeryctl.storage.work import Work

ALIVE = timedelta(seconds=15)  # three heartbeats
ABSENT = """
SELECT count(*) FROM misses m JOIN users u ON u.id = CASE WHEN m.key ~ '^[0-9]{{1,18}}$' THEN m.key::bigint END
WHERE m.dataset = %s AND m.outcome = 'none' AND NOT EXISTS (SELECT FROM "{table}" t WHERE t.user_id = u.id)
"""
AGE = "extract(epoch FROM now() - {})"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of one data set: rows, users without one (those known to have none left out), rows past their age, misses."""

    rows: int
    missing: int
    stale: int
    quarantined: int


def coverage(work: Work) -> Coverage:
    """Count one data set. A listing misses nothing: only its source knows what there is."""
    rows = work.model.select().count()
    misses = Miss.select().where(Miss.dataset == work.name)
    quarantined = misses.where(Miss.outcome != "none").count()
    if work.listing:
        return Coverage(rows, 0, 0, quarantined)
    absent = _absent(work)
    stale = _stale(work.model, work.max_age) if work.max_age else 0
    return Coverage(rows, max(0, User.select().count() - covered(work.model) - absent), stale, quarantined)


def _absent(work: Work) -> int:
    """How many users are known to have none. Their miss may outlive a user, and a row may outlive its source's."""
    statement = ABSENT.format(table=work.model._meta.table_name)
    return int(database.execute_sql(statement, (work.name,)).fetchone()[0])


def _stale(model: type[peewee.Model], max_age: timedelta) -> int:
    return model.select().where(model._meta.fields["fetched_at"] < peewee.fn.now() - max_age).count()


def covered(*models: type[peewee.Model]) -> int:
    """How many users have a row in every one of these tables."""
    query = User.select()
    for model in models:
        query = query.where(
            peewee.fn.EXISTS(model.select(peewee.SQL("1")).where(model._meta.fields["user"] == User.id))
        )
    return query.count()


def holds_sealed(models: Sequence[type[peewee.Model]]) -> bool:
    """Whether any of these tables holds an encrypted value."""
    sealed = [model for model in models if any(isinstance(one, EncryptedField) for one in model._meta.sorted_fields)]
    return any(database.table_exists(model._meta.table_name) and model.select().exists() for model in sealed)


def lacking(model: type[peewee.Model], lo: int, hi: int) -> list[tuple[int, int]]:
    """The (id, external_id) of the users with an external id from ``lo`` to ``hi`` that have no row."""
    theirs = model.select(peewee.SQL("1")).where(model._meta.fields["user"] == User.id)
    users = User.select(User.id, User.external_id).where(User.external_id.between(lo, hi), ~peewee.fn.EXISTS(theirs))
    return [(user.id, user.external_id) for user in users.order_by(User.id)]


def last_scheduled(dataset: str) -> datetime | None:
    """When the newest run that counts for the schedule began: of the whole data set, and from its source.

    One that is to follow a run under way counts from the beginning of that.
    """
    counting = (Run.record_limit.is_null(), Run.trigger != "seed")
    own = Run.select(Run.started_at).where(Run.dataset == dataset, *counting).order_by(Run.started_at.desc()).limit(1)
    ahead = Run.select(Run.started_at).where(Run.status == "running", Run.followers.contains(dataset), *counting)
    return max((run.started_at for query in (own, ahead) for run in query), default=None)


def clock() -> datetime:
    """The database's time: the one clock that all machines of a cluster share."""
    now: datetime = database.execute_sql("SELECT now()").fetchone()[0]
    return now


def workers() -> list[dict[str, Any]]:
    """Workers seen within the last hour, with the age of their last sign of life in seconds."""
    age = peewee.SQL(AGE.format("seen_at")).alias("age")
    rows = Worker.select(Worker, age).where(peewee.SQL("seen_at > now() - interval '1 hour'")).order_by(Worker.name)
    return [
        {
            "name": row["name"],
            "alive": row["age"] < ALIVE.total_seconds(),
            "active": row["active"],
            "concurrency": row["concurrency"],
            "heartbeat_age_seconds": round(float(row["age"]), 1),
            "rss_bytes": row["rss"],
        }
        for row in dicts(rows)
    ]


def sources() -> dict[str, SourceState]:
    """How every source answered last, by data set."""
    return {state.name: state for state in SourceState.select()}


def oldest_waiting() -> float:
    """Seconds since the oldest batch that nobody has claimed was planned; 0 when none waits."""
    age = peewee.fn.MAX(peewee.SQL(AGE.format("created_at")))
    return round(float(Batch.select(age).where(Batch.token.is_null()).scalar() or 0), 1)
