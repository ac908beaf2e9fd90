"""page.txt, which dashboard and alerts are held against: it shows what the code serves and nothing else."""

from collections.abc import Iterator

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import Collector

from celeryctl import datasets
from celeryctl.cluster.exposition import new_registry
from celeryctl.cluster.families import FAMILIES
from celeryctl.cluster.queues import QUEUE
from celeryctl.cluster.taskmetrics import BUCKETS, TaskMetrics
from celeryctl.cluster.tasks import names
from celeryctl.storage.totals import REQUEST_SECONDS, REQUESTS, ROWS, RUN_SECONDS
from deploy.page import PAGE

pytestmark = pytest.mark.unit

DATASETS = datasets.load()
TASKS = names(DATASETS)
SERVED = {family.name: family for family in parse(PAGE)}


class Declared(Collector):
    """Each family of the cluster's page with one series."""

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            made = family.made()
            made.add_metric(family.labels, *([[("+Inf", 0)], 0] if family.kind == "histogram" else [0]))
            yield made


def shapes(text: str) -> dict[str, tuple[str, set[str]]]:
    """Each metric's type and labels."""
    return {
        family.name: (family.type, {label for sample in family.samples for label in sample.labels})
        for family in parse(text)
    }


def values(name: str, label: str) -> set[str]:
    return {sample.labels[label] for sample in SERVED[name].samples if label in sample.labels}


def test_it_has_the_names_types_and_labels_that_the_code_declares() -> None:
    registry = new_registry()
    registry.register(Declared())
    TaskMetrics(registry, TASKS).live(["celery@one"])
    assert shapes(PAGE) == shapes(generate_latest(registry).decode())


@pytest.mark.parametrize(
    ("name", "outcomes"), [("celeryctl_rows_written", ROWS), ("celeryctl_source_requests", REQUESTS)]
)
def test_it_has_the_outcomes_that_are_counted(name: str, outcomes: tuple[str, ...]) -> None:
    assert values(name, "outcome") == {*outcomes}


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("celeryctl_source_request_duration_seconds", REQUEST_SECONDS),
        ("celeryctl_run_duration_seconds", RUN_SECONDS),
        ("celery_task_runtime", [*map(str, BUCKETS), "+Inf"]),
    ],
)
def test_its_histograms_have_only_buckets_that_there_are(name: str, bounds: tuple[str, ...]) -> None:
    assert values(name, "le") <= {*bounds}


def test_it_names_only_data_sets_tasks_and_queues_that_there_are() -> None:
    every = [sample for family in SERVED.values() for sample in family.samples]
    found = {label: {one.labels[label] for one in every if label in one.labels} for label in ("dataset", "source")}
    assert found["dataset"] | found["source"] <= {*DATASETS}
    assert {one.labels["name"] for one in every if "name" in one.labels} <= TASKS
    assert {one.labels["queue_name"] for one in every if "queue_name" in one.labels} == {QUEUE}
    # Of users themselves there is nothing to cover.
    assert values("celeryctl_coverage_ratio", "dataset") <= {name for name, one in DATASETS.items() if one.per}
