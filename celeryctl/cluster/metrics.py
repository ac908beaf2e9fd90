"""The cluster's page for Prometheus: every scrape asks database and broker anew, and waits for neither for long."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from celeryctl import services
from celeryctl.cluster import tasks
from celeryctl.cluster.asked import Asked
from celeryctl.cluster.events import Listener
from celeryctl.cluster.exposition import label, listen, new_registry
from celeryctl.cluster.families import FAMILIES
from celeryctl.cluster.overview import RECOUNT, state_of
from celeryctl.cluster.queues import QUEUE, depth
from celeryctl.cluster.taskmetrics import TYPES, TaskMetrics
from celeryctl.services import context, reading
from celeryctl.storage import totals
from celeryctl.storage.snapshot import Snapshot
from celeryctl.storage.totals import REQUEST_SECONDS, REQUESTS, ROWS, RUN_SECONDS, SUM, Totals

LIMIT = 5.0  # seconds that a scrape waits for a server; Prometheus itself gives a scrape up after ten


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the database knows at a moment."""

    found: Snapshot
    totals: Mapping[str, Totals]


def serve(host: str, port: int, *, renew: Callable[..., None], ready: Callable[[str], None]) -> None:
    """Serve it until SIGINT or SIGTERM. ``ready`` is told the page's address. Raises CeleryctlError for a taken port.

    ``renew`` is called after something was away, with ``lost`` if it was the database.
    """
    over = threading.Event()
    registry = new_registry()
    with listen(host, port, registry, fix="name a free port with --port") as server, closing(Tasks()) as counted:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        registry.register(Cluster(counted, renew=renew))
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        ready(f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics")
        over.wait()
        server.shutdown()


class Cluster(Collector):
    """Everything but what events tell; see `serve`."""

    def __init__(self, tasks: "Tasks", *, renew: Callable[..., None]) -> None:
        turn = threading.Lock()  # of whoever renews

        def renew_in_turn(*, lost: bool) -> None:
            with turn:
                renew(lost=lost)

        self._tasks = tasks
        self._ledger = Asked("the database", _read, renew=lambda: renew_in_turn(lost=True))
        self._stale = Asked("the rows that are stale", services.count_stale, keep=RECOUNT)
        self._depth = Asked("the broker", lambda: depth(context().settings), renew=lambda: renew_in_turn(lost=False))

    def describe(self) -> list[Metric]:
        """Nothing is asked for it: whether two collectors had the same names is known without."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; of a server that is away none but that it is."""
        until = time.monotonic() + LIMIT
        ledger_asked, stale_asked, depth_asked = self._ledger.begin(), self._stale.begin(), self._depth.begin()
        page = _Page()
        if found := self._depth.result(depth_asked, until):
            page.broker(*found)
        if ledger := self._ledger.result(ledger_asked, until):
            page.database(ledger, self._stale.result(stale_asked, until) or {})
            self._tasks.live([worker.name for worker in ledger.found.workers or [] if worker.alive])
        page.put("celeryctl_database_up", ledger is not None)
        page.put("celeryctl_broker_up", found is not None)
        yield from page.families()
        yield from self._tasks.families()


class Tasks:
    """What events tell of tasks, counted from the moment that this began."""

    def __init__(self) -> None:
        self._registry, self._lock = CollectorRegistry(), threading.Lock()
        self._metrics = TaskMetrics(self._registry, tasks.names(context().datasets))
        self._listener = Listener(lambda: context().settings.redis_url, TYPES, self._see)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def live(self, workers: list[str]) -> None:
        """Count for them, however many there are; of others, who only say that they are workers, for a few."""
        with self._lock:
            self._metrics.live(workers)

    def families(self) -> Iterable[Metric]:
        """What Prometheus reads of them."""
        return self._registry.collect()

    def _see(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            self._metrics.see(event)


class _Page:
    """One page: families, filled with what is known."""

    def __init__(self) -> None:
        self._made = {family.name: family.made() for family in FAMILIES}

    def families(self) -> Iterator[Metric]:
        """Those that hold something."""
        return (made for made in self._made.values() if made.samples)

    def put(self, name: str, value: float | None, *labels: str) -> None:
        """Give a value, unless that is unknown."""
        if value is not None:
            self._made[name].add_metric(list(map(label, labels)), float(value))

    def observe(self, name: str, counted: Totals, total: str, bounds: tuple[str, ...], dataset: str) -> None:
        buckets = counted.buckets(total, bounds)
        self._made[name].add_metric([dataset], buckets, counted.values.get((total, SUM), 0.0))

    def broker(self, waiting: int, unacked: int) -> None:
        self.put("celery_queue_length", waiting, QUEUE)
        self.put("celeryctl_unacked", unacked)

    def database(self, ledger: Ledger, stale: Mapping[str, int]) -> None:
        found = ledger.found
        for dataset in services.stats_of(found, stale=stale, both=lambda: None)["datasets"]:
            self._dataset(dataset, found)
            self._totals(dataset["name"], ledger.totals.get(dataset["name"], Totals()))
        for worker in found.workers or []:
            self.put("celery_worker_up", worker.alive, worker.name)
            self.put("celery_worker_tasks_active", worker.active if worker.alive else 0, worker.name)
            self.put("celeryctl_worker_rss_bytes", worker.rss if worker.alive else None, worker.name)
        self.put("celeryctl_beat_up", any(beat.alive and beat.active for beat in found.beats or []))
        self.put("celeryctl_overdue_batches", found.open.overdue)

    def _dataset(self, stats: Mapping[str, Any], found: Snapshot) -> None:
        name = stats["name"]
        for column in ("rows", "missing", "stale", "quarantined"):
            self.put(f"celeryctl_{column}", stats[column], name)
        self.put("celeryctl_interval_seconds", None if stats["paused"] else stats["every_seconds"], name)
        self.put("celeryctl_coverage_ratio", _coverage(stats, found), name)
        state = state_of(found.source(name), found.at)
        self.put("celeryctl_source_up", None if state == "unknown" else state == "ok", name)

    def _totals(self, name: str, counted: Totals) -> None:
        for outcome, count in counted.counts("rows", ROWS).items():
            self.put("celeryctl_rows_written_total", count, name, outcome)
        for outcome, count in counted.counts("requests", REQUESTS).items():
            self.put("celeryctl_source_requests_total", count, name, outcome)
        self.put("celeryctl_last_success_timestamp_seconds", counted.success, name)
        self.observe("celeryctl_run_duration_seconds", counted, "run_seconds", RUN_SECONDS, name)
        self.observe("celeryctl_source_request_duration_seconds", counted, "request_seconds", REQUEST_SECONDS, name)


def _read() -> Ledger:
    with reading():
        return Ledger(services.read(), totals.read())


def _coverage(stats: Mapping[str, Any], found: Snapshot) -> float | None:
    """The share of users who have a row; None where a user may have several, or none is to have one."""
    dataset = context().datasets[stats["name"]]
    users = next(line.rows for line in found.datasets if line.name == "users")
    if dataset.key != ("user",):
        return None
    return min(1.0, stats["rows"] / users) if users else 0.0
