"""The product at work: its database emptied, its workers, its `fetch`, and what the ledger says about it."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg2

from benchmarks.limit import COUNTS
from benchmarks.processes import running, until
from benchmarks.rig import CELERYCTL, Rig, query
from benchmarks.row import MeasureError
from benchmarks.sources import LOOPBACK
from celeryctl.local.postgres import DATABASE

TABLES = ("users", "addresses", "credit_cards")
ALIVE = "SELECT 1 FROM workers WHERE seen_at > now() - interval '15 seconds'"
RUNS = "SELECT dataset, status, started_at, finished_at FROM runs ORDER BY started_at, dataset DESC"


@dataclass(frozen=True, slots=True)
class Node:
    """A worker's place: what its command line begins with, where it finds the servers, its name where it needs one."""

    before: tuple[str, ...] = ()
    host: str = LOOPBACK
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has succeeded."""

    dataset: str
    started_at: datetime
    finished_at: datetime

    @property
    def seconds(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A database of the rig and an API with so many ``users`` that takes ``delay`` milliseconds."""

    rig: Rig
    users: int
    delay: int = 0
    database: str = DATABASE
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.rig.postgres.url(self.database)

    def environment(self, host: str = LOOPBACK) -> dict[str, str]:
        """What the cluster's processes find around themselves."""
        given = self.rig.environment(database=self.database, users=self.users, delay=self.delay, host=host)
        return given | dict(self.settings)

    def run(self, *arguments: str) -> str:
        """What a command prints. Raises MeasureError."""
        return self.rig.celeryctl(*arguments, env=self.environment())

    def clear(self) -> None:
        """Leave nothing: no table, no message, no page to be written."""
        if not query(
            self.rig.postgres.url("postgres"), "SELECT 1 FROM pg_database WHERE datname = %s", [self.database]
        ):
            query(self.rig.postgres.url("postgres"), f"CREATE DATABASE {self.database}")
        query(self.url, "DROP SCHEMA public CASCADE")
        query(self.url, "CREATE SCHEMA public")
        query(self.url, "CHECKPOINT")
        with self.rig.client() as client:
            client.flushall()

    def empty(self) -> None:
        """Leave empty tables."""
        self.clear()
        self.run("init-db")
        query(self.url, "CHECKPOINT")

    @contextmanager
    def worker(self, node: Node | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """One more worker, ready, for the time of the block."""
        node = node or Node()
        before = len(query(self.url, ALIVE))
        log = self.rig.folder / "worker.log"
        command = [*node.before, *CELERYCTL, "worker", *node.options]
        with running(command, env=self.environment(node.host), folder=self.rig.folder, log=log) as process:
            until(lambda: len(query(self.url, ALIVE)) > before, process, log)
            yield process

    def fetch(self, what: str = "all") -> float:
        """Fetch through the workers, as a person does it; the seconds that the command took. Raises MeasureError."""
        began = time.perf_counter()
        self.run("fetch", what, "--wait", "--json")
        return time.perf_counter() - began

    def ended(self) -> list[Ended]:
        """The runs of the ledger, oldest first. Raises MeasureError unless all of them have succeeded."""
        found = query(self.url, RUNS)
        if any(status != "succeeded" for _, status, *_ in found):
            raise MeasureError(f"not every run has succeeded: {[row[:2] for row in found]}")
        return [Ended(dataset, began, over) for dataset, _, began, over in found]

    def seconds(self) -> float:
        """From the beginning of the first run to the end of the last."""
        runs = self.ended()
        return (max(run.finished_at for run in runs) - runs[0].started_at).total_seconds()

    def check(self) -> None:
        """Raise MeasureError unless every table holds what it should."""
        if (found := query(self.url, COUNTS)[0]) != (self.users,) * len(TABLES):
            raise MeasureError(f"{dict(zip(TABLES, found, strict=True))} instead of {self.users} each")

    def fill(self) -> None:
        """Fetch everything, unless it is there already; then vacuum and analyse, as autovacuum soon would."""
        if not self._is_full():
            self.empty()
            with self.worker():
                self.fetch()
            self.check()
        query(self.url, "VACUUM (ANALYZE)")

    def _is_full(self) -> bool:
        try:
            self.check()
        except (MeasureError, psycopg2.Error):
            return False
        return True
