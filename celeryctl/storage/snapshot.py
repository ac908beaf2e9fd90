"""Everything that the ledger knows of the cluster at one moment, in one query that scans no table of records."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import peewee

from celeryctl.storage.database import database, session
from celeryctl.storage.rates import BUCKET

ALIVE = timedelta(seconds=15)  # three heartbeats
RECENT = 10  # runs
BUCKETS = 30  # of throughput: five minutes

READ = """
WITH known AS (SELECT * FROM unnest(%(names)s::text[], %(tables)s::text[]) WITH ORDINALITY AS k (name, table_name, n)),
counted AS (SELECT table_name, sum(rows)::bigint AS rows FROM counts GROUP BY table_name),
shown AS (SELECT * FROM runs ORDER BY started_at DESC LIMIT %(recent)s)
SELECT json_build_object(
  'at', now(),
  'datasets', (SELECT json_agg(json_build_object(
      'name', k.name, 'rows', coalesce(c.rows, 0),
      'absent', coalesce(d.absent, 0), 'quarantined', coalesce(d.quarantined, 0), 'paused', coalesce(d.paused, false),
      'last_run', (SELECT row_to_json(r) FROM runs r WHERE r.dataset = k.name ORDER BY started_at DESC LIMIT 1),
      'counted_at', greatest(
        (SELECT r.started_at FROM runs r WHERE r.dataset = k.name AND r.record_limit IS NULL AND r.trigger <> 'seed'
         ORDER BY r.started_at DESC LIMIT 1),
        (SELECT max(r.started_at) FROM runs r WHERE r.status = 'running' AND k.name = ANY (r.followers)
         AND r.record_limit IS NULL AND r.trigger <> 'seed')
      )) ORDER BY k.n)
    FROM known k LEFT JOIN datasets d ON d.name = k.name LEFT JOIN counted c ON c.table_name = k.table_name),
  'runs', (SELECT json_agg(row_to_json(s) ORDER BY s.started_at DESC) FROM shown s),
  'rates', (SELECT json_object_agg(n, rows) FROM (
      SELECT extract(epoch FROM bucket)::bigint / %(seconds)s AS n, sum(rows)::bigint AS rows FROM rates
      WHERE bucket > now() - %(buckets)s * %(seconds)s * interval '1 second' GROUP BY bucket) b),
  'workers', (SELECT json_agg(json_build_object(
      'name', name, 'age', extract(epoch FROM now() - seen_at), 'active', active, 'concurrency', concurrency,
      'rss', rss, 'skew', skew) ORDER BY name) FROM workers WHERE seen_at > now() - interval '1 hour'),
  'beats', (SELECT json_agg(json_build_object(
      'name', name, 'age', extract(epoch FROM now() - seen_at), 'active', active) ORDER BY NOT active, name)
    FROM beats WHERE seen_at > now() - interval '1 hour'),
  'sources', (SELECT json_agg(row_to_json(s)) FROM sources s),
  'open', (SELECT json_build_object('batches', count(*), 'oldest',
      extract(epoch FROM now() - min(created_at) FILTER (WHERE token IS NULL)),
      'overdue', count(*) FILTER (WHERE due < now())) FROM batches)
)::text
"""


class RunLine(msgspec.Struct, frozen=True):
    """A run as the ledger has it; see `ledger.Run`."""

    id: str
    dataset: str
    trigger: str
    status: str
    created: int
    updated: int
    unchanged: int
    rejected: int
    absent: int
    requests: int
    retries: int
    started_at: datetime
    expected: int | None = None
    finished_at: datetime | None = None
    error: str | None = None

    @property
    def done(self) -> int:
        """How many records are dealt with, well or not."""
        return self.created + self.updated + self.unchanged + self.rejected + self.absent


class DatasetLine(msgspec.Struct, frozen=True):
    """A data set: rows and misses counted, its newest run, and when the one that counts for the schedule began."""

    name: str
    rows: int
    absent: int
    quarantined: int
    paused: bool
    last_run: RunLine | None
    counted_at: datetime | None


class WorkerLine(msgspec.Struct, frozen=True):
    """A worker. ``age`` of its last sign of life and ``skew`` are in seconds, ``rss`` in bytes."""

    name: str
    age: float
    active: int
    concurrency: int
    rss: int
    skew: float | None

    @property
    def alive(self) -> bool:
        return self.age < ALIVE.total_seconds()


class BeatLine(msgspec.Struct, frozen=True):
    """A beat. ``age`` of its last sign of life is in seconds."""

    name: str
    age: float
    active: bool

    @property
    def alive(self) -> bool:
        return self.age < ALIVE.total_seconds()


class SourceLine(msgspec.Struct, frozen=True):
    """A source: when it answered last, what went wrong since, its latency in seconds.

    ``failures`` are the runs in a row that it made fail; until ``asks_again_at`` the schedule leaves it alone.
    """

    name: str
    last_ok: datetime | None
    error: str | None
    latency: float | None
    failures: int
    asks_again_at: datetime | None


class OpenBatches(msgspec.Struct, frozen=True):
    """How many batches are open, and since how many seconds the oldest unclaimed one waits.

    ``overdue`` are those that nobody has claimed in time, or whose holder's lease is over.
    """

    batches: int
    oldest: float | None
    overdue: int


class Snapshot(msgspec.Struct, frozen=True):
    """The ledger at one moment of the database's clock. ``rates`` are rows by number of the bucket since the epoch."""

    at: datetime
    datasets: list[DatasetLine]
    open: OpenBatches
    runs: list[RunLine] | None
    rates: dict[int, int] | None
    workers: list[WorkerLine] | None
    beats: list[BeatLine] | None
    sources: list[SourceLine] | None

    def source(self, name: str) -> SourceLine | None:
        """The source of this data set; None where it was never asked."""
        return next((one for one in self.sources or [] if one.name == name), None)

    def throughput(self) -> list[int]:
        """Rows by bucket, oldest first; the last one is not over yet."""
        newest = int(self.at.timestamp()) // BUCKET
        rates = self.rates or {}
        return [rates.get(number, 0) for number in range(newest - BUCKETS + 1, newest + 1)]


def read(models: Mapping[str, type[peewee.Model]]) -> Snapshot:
    """Read it, for these data sets and their tables."""
    tables: Sequence[str] = [model._meta.table_name for model in models.values()]
    parameters = {"names": list(models), "tables": tables, "recent": RECENT, "seconds": BUCKET, "buckets": BUCKETS}
    with session():
        (text,) = database.execute_sql(READ, parameters).fetchone()
    return msgspec.json.decode(text, type=Snapshot)
