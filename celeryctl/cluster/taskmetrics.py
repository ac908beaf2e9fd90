"""Celery's tasks, counted for Prometheus with the names and labels of celery-exporter."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from celeryctl.cluster.exposition import label
from celeryctl.cluster.queues import QUEUE

V = TypeVar("V")

LABELS = ("name", "hostname", "queue_name")
COUNTED = {
    "task-received": ("celery_task_received", "Tasks that a worker received."),
    "task-started": ("celery_task_started", "Tasks that a worker began."),
    "task-succeeded": ("celery_task_succeeded", "Tasks that succeeded."),
    "task-failed": ("celery_task_failed", "Tasks that failed."),
    "task-retried": ("celery_task_retried", "Tasks that failed and are tried again, or whose process died."),
}
REQUEUED = "task-rejected"  # with requeue: the process that was at it has died
TYPES = (*COUNTED, REQUEUED)
# Beyond those of celery-exporter: a large batch takes longer than 10 s.
BUCKETS = (*Histogram.DEFAULT_BUCKETS[:-1], 30.0, 60.0, 120.0)
LONGEST = 10**9  # seconds; what says that it took longer is not believed

UNKNOWN = "unknown"
REMEMBERED = 10_000  # tasks whose name is known until something else is told of them
HOSTS = 200  # workers that are not known to live; whoever may publish events can name as many as he likes
LENGTH = 255  # characters of what is told


class TaskMetrics:
    """Counts into ``registry``. Tasks that are none of ``names`` count as one.

    Of workers that are not known to live the last 200 count.

    ``hostname`` is a worker's whole name, such as worker1@host: of several on a machine each counts for itself.
    """

    def __init__(self, registry: CollectorRegistry, names: Collection[str]) -> None:
        self._names = names
        self._counters = {
            kind: Counter(name, text, LABELS, registry=registry) for kind, (name, text) in COUNTED.items()
        }
        self._runtime = Histogram(
            "celery_task_runtime",
            "Seconds that it took tasks to succeed.",
            LABELS,
            registry=registry,
            buckets=BUCKETS,
        )
        self._tasks: dict[str, str] = {}
        self._living: set[str] = set()
        self._hosts: dict[str, None] = {}  # the others

    def see(self, event: Mapping[str, Any]) -> None:
        """Count one of Celery's events, whoever has sent it and whatever is in it. Only the first names its task."""
        task_id, name = _text(event.get("uuid")), event.get("name")
        if isinstance(name, str) and name in self._names:
            _put(self._tasks, task_id, name, most=REMEMBERED)
        known = self._tasks.get(task_id, UNKNOWN)
        requeue, runtime = event.get("requeue") is True, event.get("runtime")
        self.count(str(event.get("type")), known, event.get("hostname"), runtime=runtime, requeue=requeue)

    def count(
        self, kind: str, name: str, hostname: Any, queue: str = QUEUE, *, runtime: Any = None, requeue: bool = False
    ) -> None:
        """Count what happened to a task; ``kind`` is an event's type. Those that are not counted are passed over."""
        kind = "task-retried" if kind == REQUEUED and requeue else kind
        if kind not in self._counters:
            return
        labels = self.show(name, hostname, queue)
        self._counters[kind].labels(*labels).inc()
        if kind == "task-succeeded" and isinstance(runtime, int | float) and 0 <= runtime < LONGEST:
            self._runtime.labels(*labels).observe(runtime)

    def live(self, workers: Collection[str]) -> None:
        """Note that these workers live, and no others; what they have not done yet is shown as 0."""
        before, self._living = self._living, {label(_text(worker)) for worker in workers}
        for host in self._living:
            self._hosts.pop(host, None)
        for gone in before - self._living:
            self._remember(gone)
        for worker in workers:
            for name in self._names:
                self.show(name, worker)

    def show(self, name: str, hostname: Any, queue: str = QUEUE) -> tuple[str, str, str]:
        """Show what did not happen as 0: Prometheus sees an increase only from a number that it has read.

        Returns the labels.
        """
        labels = (name, self._host(hostname), queue)
        for family in (*self._counters.values(), self._runtime):
            family.labels(*labels)
        return labels

    def _host(self, told: Any) -> str:
        host = label(_text(told))
        if host not in self._living:
            self._remember(host)
        return host

    def _remember(self, host: str) -> None:
        if (gone := _put(self._hosts, host, None, most=HOSTS)) is not None:
            for family in (*self._counters.values(), self._runtime):
                family.remove_by_labels({"hostname": gone})


def _text(told: Any) -> str:
    """What a stranger may have sent, as far as it can be a label: one line, and no half of a character."""
    return told if isinstance(told, str) and told.isprintable() and 0 < len(told) <= LENGTH else UNKNOWN


def _put(memory: dict[str, V], key: str, value: V, *, most: int) -> str | None:
    """Remember something as the newest; returns the oldest where that is forgotten for it."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) <= most:
        return None
    oldest = next(iter(memory))
    del memory[oldest]
    return oldest
