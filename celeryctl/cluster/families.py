"""What the cluster's page for Prometheus shows, from which the table in docs/operations.md is made as well."""

from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

MADE: dict[str, Any] = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics of one name. ``help`` says what is counted, and in what, where the name does not."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str

    def made(self) -> Any:
        """It without a value yet."""
        return MADE[self.kind](self.name, self.help, labels=self.labels)


DATASET, SOURCE, HOST = ("dataset",), ("source",), ("hostname",)
EVER = "since counting began"
UNCOUNTED = ("Those of batches that were not brought to their end (worker died, run cancelled, database away or "
             "refusing) are not in it.")  # fmt: skip

FAMILIES: tuple[Family, ...] = (
    Family("celeryctl_database_up", "gauge", (),
           "Whether the database answers and its tables can be read; while not, what it knows is absent."),
    Family("celeryctl_broker_up", "gauge", (),
           "Whether the broker answers; while it does not, what it knows is absent."),
    Family("celeryctl_rows", "gauge", DATASET, "Rows in the table."),
    Family("celeryctl_coverage_ratio", "gauge", DATASET, "Users who have a row, from 0 to 1."),
    Family("celeryctl_missing", "gauge", DATASET, "Users who lack a row that the source may have."),
    Family("celeryctl_stale", "gauge", DATASET,
           "Rows older than the data set's MAX_AGE, counted once a minute; meanwhile as counted before."),
    Family("celeryctl_quarantined", "gauge", DATASET, "Records that nothing tries again by itself."),
    Family("celeryctl_interval_seconds", "gauge", DATASET,
           "Seconds between two fetches of the schedule; absent while that is paused."),
    Family("celeryctl_last_success_timestamp_seconds", "gauge", DATASET,
           "When a run ended last without an error, in seconds since 1970; it may have rejected records."),
    Family("celeryctl_rows_written_total", "counter", (*DATASET, "outcome"),
           f"Records by what became of them {EVER}: created, updated, unchanged, rejected."),
    Family("celeryctl_run_duration_seconds", "histogram", DATASET,
           f"Seconds that runs took which were not cancelled, {EVER}."),
    Family("celeryctl_source_up", "gauge", SOURCE,
           "Whether the source gave something of use when it was asked last."),
    Family("celeryctl_source_requests_total", "counter", (*SOURCE, "outcome"),
           f"Requests {EVER} by how they ended: ok, redirected, http_error, invalid (an answer of no use), timeout, "
           f"connection (also those that did not reach the source). {UNCOUNTED}"),
    Family("celeryctl_source_request_duration_seconds", "histogram", SOURCE,
           f"Seconds that requests took, well or not, {EVER}. {UNCOUNTED}"),
    Family("celeryctl_overdue_batches", "gauge", (),
           "Open batches that nobody has claimed in time, or whose worker has fallen silent."),
    Family("celeryctl_unacked", "gauge", (), "Messages that a worker has taken and not yet acknowledged."),
    Family("celeryctl_beat_up", "gauge", (), "Whether a beat is there that starts what is due."),
    Family("celeryctl_worker_rss_bytes", "gauge", HOST, "Bytes of memory of the worker and its processes."),
    Family("celery_queue_length", "gauge", ("queue_name",), "Messages that wait in the queue."),
    Family("celery_worker_up", "gauge", HOST,
           "Whether the worker gives signs of life; 0 for an hour after the last one."),
    Family("celery_worker_tasks_active", "gauge", HOST, "Tasks that the worker is doing."),
)  # fmt: skip
