"""The ledger's tables: what runs, in which batches, what failed, which workers live.

A run is ``running`` if and only if it has an open batch. One run per data set at a time, one per slot of the schedule.
"""

import uuid

import peewee
from playhouse.postgres_ext import ArrayField, DateTimeTZField, JSONField

from celeryctl.storage.row import NOW, Stored
from celeryctl.storage.user import User


class Run(Stored):
    """One pass over a data set.

    ``cursor`` is how far batches are planned: the last page of a listing, the last user id of what hangs on users.
    ``bound`` is a listing's last page once that is known; ``position`` is where a listing without numbers goes on.
    ``stale_before``: rows fetched before are to be fetched again. ``expected`` counts records, where known.
    ``followers`` are data sets whose runs open when this one ends.
    """

    id = peewee.UUIDField(primary_key=True)
    dataset = peewee.TextField()
    trigger = peewee.TextField()
    slot = DateTimeTZField(null=True)
    parent = peewee.ForeignKeyField("self", null=True, on_delete="SET NULL", backref="children")
    parent_id: uuid.UUID | None
    followers = ArrayField(peewee.TextField, default=list, index=False)
    status = peewee.TextField(default="running")
    refresh = peewee.BooleanField(default=False)
    stale_before = DateTimeTZField(null=True)
    record_limit = peewee.BigIntegerField(null=True)
    page_size = peewee.IntegerField()
    batch_size = peewee.IntegerField()
    cursor = peewee.BigIntegerField(default=0)
    bound = peewee.BigIntegerField(null=True)
    position = peewee.TextField(null=True)
    planned = peewee.BigIntegerField(default=0)
    expected = peewee.BigIntegerField(null=True)
    created = peewee.BigIntegerField(default=0)
    updated = peewee.BigIntegerField(default=0)
    unchanged = peewee.BigIntegerField(default=0)
    rejected = peewee.BigIntegerField(default=0)
    absent = peewee.BigIntegerField(default=0)
    requests = peewee.BigIntegerField(default=0)
    retries = peewee.BigIntegerField(default=0)
    error = peewee.TextField(null=True)
    error_exit = peewee.SmallIntegerField(null=True)
    started_at = DateTimeTZField(constraints=[NOW])
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "runs"


class Batch(Stored):
    """A piece of a run that one worker does in one transaction: pages, or user ids, from ``lo`` to ``hi`` (inclusive).

    ``token`` fences: whoever holds the latest may finish. ``due`` is when an unclaimed batch is announced again, or
    when its holder is taken for dead. ``holder`` is the node name of who claimed it last, ``task_id`` that task's id.
    """

    id = peewee.BigAutoField()
    run = peewee.ForeignKeyField(Run, on_delete="CASCADE", backref="batches", index=False)
    lo = peewee.BigIntegerField()
    hi = peewee.BigIntegerField()
    attempts = peewee.IntegerField(default=0)
    token = peewee.BigIntegerField(null=True)
    due = DateTimeTZField(index=True)
    holder = peewee.TextField(null=True)
    task_id = peewee.TextField(null=True)
    created_at = DateTimeTZField(constraints=[NOW])

    class Meta:
        table_name = "batches"
        indexes = ((("run", "lo"), True),)


class Miss(Stored):
    """A record that could not be stored (``rejected``, ``failed``) or that the source does not have.

    ``none``: the user has no row; ``gone``: it has one, which the source no longer confirms. ``key`` is the user's id
    for what hangs on users; for a listing the record's own id, or its place in the listing.
    ``next_try`` is absent when nothing tries again by itself: quarantined. ``payload`` is what came, as far as it may
    be kept.
    """

    dataset = peewee.TextField()
    key = peewee.TextField()
    user = peewee.ForeignKeyField(User, null=True, on_delete="CASCADE")
    outcome = peewee.TextField()
    reasons = ArrayField(peewee.TextField, index=False)
    attempts = peewee.IntegerField(default=1)
    tried_at = DateTimeTZField(constraints=[NOW])
    next_try = DateTimeTZField(null=True)
    payload = JSONField(null=True)

    class Meta:
        table_name = "misses"
        primary_key = peewee.CompositeKey("dataset", "key")


class Worker(Stored):
    """A worker's last sign of life.

    ``rss`` is in bytes, of all its processes; ``skew`` is by how many seconds its clock is ahead of the database's;
    ``key_id`` is of the key that it seals card numbers with.
    """

    name = peewee.TextField(primary_key=True)
    seen_at = DateTimeTZField()
    active = peewee.IntegerField()
    concurrency = peewee.IntegerField()
    rss = peewee.BigIntegerField()
    skew = peewee.DoubleField(null=True)
    key_id = peewee.TextField(null=True)

    class Meta:
        table_name = "workers"


class SourceState(Stored):
    """How a source answered last.

    ``error`` is absent after an answer that could be used; ``latency`` is in seconds a request, smoothed. ``failures``
    are the runs in a row that it has made fail, ``asks_again_at`` is until when the schedule leaves it alone.
    """

    name = peewee.TextField(primary_key=True)
    last_ok = DateTimeTZField(null=True)
    error = peewee.TextField(null=True)
    latency = peewee.DoubleField(null=True)
    failures = peewee.IntegerField(default=0)
    asks_again_at = DateTimeTZField(null=True)
    seen_at = DateTimeTZField(constraints=[NOW])

    class Meta:
        table_name = "sources"


class Beat(Stored):
    """A beat's last sign of life. One is active, the others stand by."""

    name = peewee.TextField(primary_key=True)
    seen_at = DateTimeTZField()
    active = peewee.BooleanField()

    class Meta:
        table_name = "beats"


class Count(Stored):
    """How many rows a data set's table has: the sum of its shards. Triggers keep it."""

    table_name = peewee.TextField()
    shard = peewee.IntegerField()
    rows = peewee.BigIntegerField()

    class Meta:
        table_name = "counts"
        primary_key = peewee.CompositeKey("table_name", "shard")


class DatasetState(Stored):
    """What is remembered of a data set. ``absent`` and ``quarantined`` count its misses; triggers keep them."""

    name = peewee.TextField(primary_key=True)
    absent = peewee.BigIntegerField(default=0)
    quarantined = peewee.BigIntegerField(default=0)
    paused = peewee.BooleanField(default=False)

    class Meta:
        table_name = "datasets"


class Rate(Stored):
    """How many rows a data set got within ten seconds from ``bucket`` on. Slots are used again in turn."""

    dataset = peewee.TextField()
    slot = peewee.IntegerField()
    bucket = DateTimeTZField()
    rows = peewee.BigIntegerField()

    class Meta:
        table_name = "rates"
        primary_key = peewee.CompositeKey("dataset", "slot")


TABLES = (
    *(one._meta.table_name for one in (Run, Batch, Miss, Worker, SourceState, Beat, Count, DatasetState, Rate)),
    *("readings", "dead_letters", "reveals", "totals"),
)
