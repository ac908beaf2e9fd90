"""Celery's events as Prometheus reads them, from whomever they come."""

from typing import Any

import pytest
from hostile import TEXTS
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from celeryctl.cluster.exposition import listen, new_registry
from celeryctl.cluster.taskmetrics import HOSTS, REMEMBERED, TYPES, TaskMetrics
from celeryctl.cluster.tasks import BATCH, names
from celeryctl.errors import CeleryctlError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.local.ports import free_port

pytestmark = pytest.mark.unit

HOST = "worker1@host"
STRANGE: tuple[Any, ...] = (*TEXTS, None, 1, -1, 10**400, float("nan"), float("inf"), True, [], {}, [[]])


def counted(*events: dict[str, Any]) -> dict[str, dict[tuple[str, str], float]]:
    """What is above 0 after these events, by metric, then by task and worker."""
    registry = new_registry()
    metrics = TaskMetrics(registry, names(["users"]))
    for event in events:
        metrics.see(event)
    return read(registry)


def read(registry: CollectorRegistry) -> dict[str, dict[tuple[str, str], float]]:
    found: dict[str, dict[tuple[str, str], float]] = {}
    for family in parse(generate_latest(registry).decode()):
        for sample in family.samples:
            if sample.value and "name" in sample.labels and "le" not in sample.labels:
                key = sample.labels["name"], sample.labels["hostname"]
                found.setdefault(sample.name.removeprefix("celery_task_"), {})[key] = sample.value
    return found


def event(kind: str, uuid: Any = "a", **more: Any) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": uuid, "hostname": HOST, **more}


def test_what_happens_to_a_task_is_counted_under_the_name_that_it_was_received_with() -> None:
    found = counted(
        event("received", name=BATCH),
        event("started"),
        event("retried"),
        event("received", name=BATCH),
        event("started"),
        event("succeeded", runtime=20.0),
        event("received", "b", name="celeryctl.fetch.users"),
        event("started", "b"),
        event("failed", "b", exception="ValueError()"),
    )
    batch, fetch = (BATCH, HOST), ("celeryctl.fetch.users", HOST)
    assert found == {
        "received_total": {batch: 2, fetch: 1},
        "started_total": {batch: 2, fetch: 1},
        "retried_total": {batch: 1},
        "succeeded_total": {batch: 1},
        "failed_total": {fetch: 1},
        "runtime_count": {batch: 1},
        "runtime_sum": {batch: 20},
    }


def test_a_task_whose_process_died_is_one_that_is_tried_again() -> None:
    assert counted(event("rejected", requeue=True)) == {"retried_total": {("unknown", HOST): 1}}
    assert counted(event("rejected", requeue=False), event("revoked"), {"type": "worker-heartbeat"}) == {}


def test_what_did_not_happen_to_a_task_is_shown_as_0() -> None:
    registry = new_registry()
    TaskMetrics(registry, names([])).see(event("received", name=BATCH))
    labels = f'{{hostname="{HOST}",name="{BATCH}",queue_name="celery"}}'
    assert f"celery_task_failed_total{labels} 0.0" in generate_latest(registry).decode()


def test_tasks_of_others_count_as_one_and_their_workers_are_few() -> None:
    strangers = [event("received", str(n), name=f"stranger.{n}", hostname=f"w{n}@h") for n in range(HOSTS * 3)]
    found = counted(*strangers)["received_total"]
    assert len(found) == HOSTS
    assert {name for name, _ in found} == {"unknown"}
    assert ("unknown", f"w{HOSTS * 3 - 1}@h") in found


def test_however_many_workers_live_none_is_forgotten_for_another_one_or_for_strangers() -> None:
    metrics = TaskMetrics(registry := new_registry(), names([]))
    living = [f"worker{number}@host" for number in range(HOSTS + 1)]
    for _ in range(2):  # scrapes
        metrics.live(living)
        for host in living:
            metrics.see(event("received", name=BATCH, hostname=host))
    for number in range(HOSTS + 1):
        metrics.see(event("received", name=BATCH, hostname=f"stranger{number}@host"))
    found = read(registry)["received_total"]
    assert {found.get((BATCH, host)) for host in living} == {2}
    assert len(found) == len(living) + HOSTS
    # Who no longer lives is one of those of whom only the last ones count.
    metrics.live([])
    assert len(read(registry)["received_total"]) == HOSTS


def test_the_names_of_tasks_are_remembered_for_the_newest_only() -> None:
    metrics = TaskMetrics(registry := new_registry(), names([]))
    for number in range(REMEMBERED + 1):
        metrics.see(event("received", str(number), name=BATCH))
    metrics.see(event("succeeded", "0"))
    metrics.see(event("succeeded", "1"))
    assert len(metrics._tasks) == REMEMBERED
    assert read(registry)["succeeded_total"] == {("unknown", HOST): 1, (BATCH, HOST): 1}


def test_whatever_an_event_holds_the_page_can_be_read_and_holds_no_secret() -> None:
    metrics = TaskMetrics(registry := new_registry(), names(["users"]))
    for kind in (*TYPES, *TEXTS):
        for strange in STRANGE:
            every = dict.fromkeys(("uuid", "name", "hostname", "queue", "runtime", "requeue"), strange)
            metrics.see({"type": kind, **every})
            metrics.see({"type": kind, "name": BATCH, "uuid": "a", "hostname": HOST, "runtime": strange})
    page = generate_latest(registry).decode()
    assert read(registry)["received_total"][BATCH, HOST] == len(STRANGE)
    assert "s3cret" not in page
    assert "hunter2" not in page
    assert not [number for number in CARD_NUMBERS if number in page]
    assert "\x1b" not in page


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_where_nobody_can_listen_the_address_is_to_blame(host: str) -> None:
    with pytest.raises(CeleryctlError) as caught:
        listen(host, free_port(), new_registry())
    assert caught.value.fix == "set METRICS_HOST to an address of this machine"
