"""Who lacks what, which workers live, and the schedule's memory: when each data set ran last."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import peewee

from celeryctl.storage.cipher import VERSION
from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import Run, Worker
from celeryctl.storage.row import EncryptedField, dicts
from celeryctl.storage.snapshot import ALIVE
from celeryctl.storage.user import User

AGE = "extract(epoch FROM now() - {})"


def stale(model: type[peewee.Model], max_age: timedelta) -> int:
    """How many rows are older than that. Scans the table."""
    with session():
        return model.select().where(model._meta.fields["fetched_at"] < peewee.fn.now() - max_age).count()


def covered(first: type[peewee.Model], second: type[peewee.Model]) -> int:
    """How many users have a row in both of these tables, of which each has one a user. Scans an index of each."""
    user = [model._meta.fields["user"] for model in (first, second)]
    with transaction():
        # Side by side through two indexes that are in order takes less than a hash table of one of them.
        database.execute_sql("SET LOCAL enable_hashjoin = off")
        return first.select().join(second, on=(user[0] == user[1])).count()


def holds_sealed(models: Sequence[type[peewee.Model]]) -> bool:
    """Whether any of these tables holds an encrypted value."""
    fields = [one for model in models for one in model._meta.sorted_fields if isinstance(one, EncryptedField)]
    return any(
        database.table_exists(field.model._meta.table_name)
        and field.model.select().where(field % f"{VERSION}.%").exists()
        for field in fields
    )


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


def heartbeats() -> dict[str, float]:
    """The workers seen within the last hour, each with the seconds since its last sign of life."""
    age = peewee.SQL(AGE.format("seen_at")).alias("age")
    rows = Worker.select(Worker.name, age).where(peewee.SQL("seen_at > now() - interval '1 hour'"))
    return {row["name"]: float(row["age"]) for row in dicts(rows.order_by(Worker.name))}


def alive() -> dict[str, bool]:
    """The same workers, and whether each has said lately enough that it lives."""
    return {name: age < ALIVE.total_seconds() for name, age in heartbeats().items()}
