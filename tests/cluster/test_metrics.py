"""The cluster's page for Prometheus: it says what the database and the broker know, and when they say nothing."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from promtool import Samples, complaints, page, prometheus, query, samples
from relay import Relay, relay
from storage.ledgerkit import drain, order, overdue, people, sql
from waiting import eventually

from celeryctl import __version__, services
from celeryctl.cli.metrics import PORT
from celeryctl.cluster import metrics
from celeryctl.cluster.families import FAMILIES
from celeryctl.cluster.metrics import Cluster, Tasks
from celeryctl.cluster.tasks import BATCH
from celeryctl.local.ports import free_port
from celeryctl.storage import heartbeat, pause, sources
from celeryctl.storage.misses import Missed

from .kit import Process, context, process, rows, run, settings
from .kit import sources as served

pytestmark = pytest.mark.integration

NUMBER = "1234-5678-9012-3456"  # no card's, but with as many digits
NOBODY = "127.0.0.1:9"
SERVING = "Serving metrics at"
UP = ("celeryctl_database_up", "celeryctl_broker_up")
OF_BROKER = {"celery_queue_length", "celeryctl_unacked"}
Scrape = Callable[..., Samples]


@pytest.fixture
def scrape(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Scrape]:
    """The page as this process would serve it, with these settings."""
    with ExitStack() as stack:

        def read(database: str = database_url, broker: str = redis_url) -> Samples:
            services.use(context(settings(database, broker, tmp_path), tmp_path))
            services.context().connect()
            registry = CollectorRegistry()
            registry.register(Cluster(stack.enter_context(closing(Tasks())), renew=lambda **_: None))
            return samples(generate_latest(registry).decode())

        yield read
    services.use(None)


def test_the_page_says_what_the_ledger_knows(scrape: Scrape) -> None:
    people(4)
    drain(order(), Missed("1", "rejected", ("no city",)))
    order("users")
    overdue()
    sources.answered("addresses")
    sources.failed("users", "no answer")
    found = scrape()
    assert [found[name] for name in UP] == [{(): 1}] * 2
    assert found["celeryctl_rows"] == {("users",): 4, ("addresses",): 3, ("credit_cards",): 0}
    assert found["celeryctl_coverage_ratio"] == {("addresses",): 0.75, ("credit_cards",): 0}
    assert found["celeryctl_missing"] == {("users",): 0, ("addresses",): 1, ("credit_cards",): 4}
    assert found["celeryctl_stale"] == dict.fromkeys(found["celeryctl_rows"], 0)
    assert found["celeryctl_quarantined"][("addresses",)] == 1
    assert found["celeryctl_interval_seconds"][("credit_cards",)] == 900
    assert found["celeryctl_source_up"] == {("users",): 0, ("addresses",): 1}
    assert found["celeryctl_overdue_batches"] == {(): 1}
    assert found["celeryctl_beat_up"] == {(): 0}
    written = {labels: count for labels, count in found["celeryctl_rows_written_total"].items() if count}
    assert written == {("addresses", "created"): 3, ("addresses", "rejected"): 1}
    assert found["celeryctl_run_duration_seconds_count"][("addresses",)] == 1
    ((ended,),) = sql("SELECT extract(epoch FROM finished_at)::float8 FROM runs WHERE dataset = 'addresses'")
    assert found["celeryctl_last_success_timestamp_seconds"] == {("addresses",): pytest.approx(ended)}


def test_a_paused_data_set_has_no_interval_to_be_late_by(scrape: Scrape) -> None:
    pause.pause(["users"])
    assert {*scrape()["celeryctl_interval_seconds"]} == {("addresses",), ("credit_cards",)}
    pause.resume(["users"])
    assert scrape()["celeryctl_interval_seconds"]["users",] == 300


def test_a_worker_that_fell_silent_is_down_until_it_is_forgotten(scrape: Scrape, database_url: str) -> None:
    for name in ("lives", "died", "long ago"):
        heartbeat.beat(database_url, name=name, active=2, concurrency=2, rss=9)
    sql("UPDATE workers SET seen_at = seen_at - interval '1 minute' WHERE name = 'died'")
    sql("UPDATE workers SET seen_at = seen_at - interval '2 hours' WHERE name = 'long ago'")
    found = scrape()
    assert found["celery_worker_up"] == {("lives",): 1, ("died",): 0}
    assert found["celery_worker_tasks_active"] == {("lives",): 2, ("died",): 0}
    assert found["celeryctl_worker_rss_bytes"] == {("lives",): 9}
    # What its tasks did not do yet is 0, not absent.
    assert found["celery_task_failed_total"]["lives", BATCH, "celery"] == 0


def test_nothing_secret_is_on_the_page_whatever_workers_are_called(scrape: Scrape, database_url: str) -> None:
    for name in (f"w@{NUMBER}", "redis://me:hunter2@h/0", "w@a\nb", "x\x1b[2J"):
        heartbeat.beat(database_url, name=name, active=0, concurrency=1, rss=1)
    shown = repr(scrape())
    assert NUMBER not in shown
    assert "hunter2" not in shown
    assert "\\x1b" not in shown.replace("\\\\x1b", "")


def test_workers_whose_names_are_masked_alike_are_told_apart(scrape: Scrape, database_url: str) -> None:
    masked = [f"celery@job-2026112902425{number}" for number in (1, 2)]
    for name in (*masked, "w@a\nb", "w@a\\nb"):
        heartbeat.beat(database_url, name=name, active=0, concurrency=1, rss=1)
    found = scrape()
    hosts = sorted(host for (host,) in found["celery_worker_up"])
    assert len(hosts) == 4
    assert hosts[0].startswith("celery@job-****")
    assert not [name for name in masked if name in repr(found)]
    assert {host for host, _, _ in found["celery_task_failed_total"]} > {*hosts[:2]}


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "keeps silent"])
def test_of_a_server_that_is_away_the_page_says_just_that(
    scrape: Scrape, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, silent: bool
) -> None:
    monkeypatch.setattr(metrics, "LIMIT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        away = f"127.0.0.1:{listener.getsockname()[1]}" if silent else NOBODY
        found = scrape(database=f"postgresql://me:hunter2@{away}/nowhere?connect_timeout=2")
        assert (found["celeryctl_database_up"], found["celeryctl_broker_up"]) == ({(): 0}, {(): 1})
        assert {*found} == {*UP, *OF_BROKER}
        found = scrape(broker=f"redis://:hunter2@{away}/0")
        assert (found["celeryctl_database_up"], found["celeryctl_broker_up"]) == ({(): 1}, {(): 0})
        assert not OF_BROKER & {*found}
        assert "celeryctl_rows" in found
    assert "hunter2" not in caplog.text


def test_a_database_without_the_tables_is_not_up_and_the_help_says_so(scrape: Scrape, database_url: str) -> None:
    found = scrape(database=urlsplit(database_url)._replace(path="/postgres").geturl())
    assert (found["celeryctl_database_up"], found["celeryctl_broker_up"]) == ({(): 0}, {(): 1})
    assert "tables" in next(family.help for family in FAMILIES if family.name == "celeryctl_database_up")


def test_a_taken_port_is_told_and_a_workers_port_is_no_concern_of_the_page(redis_url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else's is as good
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        variables = settings("postgresql://127.0.0.1:1/x", redis_url, tmp_path, METRICS_PORT=str(free_port()))
        done = run(variables, tmp_path, "metrics")
    told = [f"Error: the metrics cannot be served on 127.0.0.1:{PORT}", "  why: Address already in use"]
    assert (done.returncode, done.stderr.splitlines()) == (1, [*told, "  fix: name a free port with --port"])


class Stage:
    """A cluster whose page is read, with ways to both servers that can be cut."""

    def __init__(self, stack: ExitStack, database_url: str, redis_url: str, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.port = free_port()
        self.ways = [self._way(url) for url in (database_url, redis_url)]
        urls = [_over(url, way) for url, way in zip((database_url, redis_url), self.ways, strict=True)]
        self.variables = settings(urls[0], urls[1], folder, api=stack.enter_context(served()))
        self.direct = {**self.variables, "DATABASE_URL": database_url, "REDIS_URL": redis_url}

    def _way(self, url: str) -> Relay:
        parts = urlsplit(url)
        return self.stack.enter_context(relay("127.0.0.1", (str(parts.hostname), int(parts.port or 0))))

    def start(self, name: str, *words: str, variables: dict[str, str] | None = None) -> Process:
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(process(["celeryctl", *words], log, variables or self.direct))

    def metrics(self, name: str) -> Process:
        return self.start(name, "metrics", "--port", str(self.port), variables=self.variables)

    def fetch(self, *words: str) -> None:
        done = run(self.direct, self.folder, "fetch", *words)
        assert done.returncode == 0, done.stderr
        eventually(lambda: not rows("SELECT FROM runs WHERE status = 'running'"))  # beat's

    def page(self) -> str:
        return page(f"http://127.0.0.1:{self.port}/metrics")

    def read(self) -> Samples:
        return samples(self.page())


def _over(url: str, way: Relay) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{way.port}").geturl()


def counters(found: Samples) -> Samples:
    """What the database counts."""
    parts = ("rows_written", "source_request", "run_duration")
    return {
        name: values for name, values in found.items() if name.startswith(tuple(f"celeryctl_{one}" for one in parts))
    }


def ledger() -> dict[tuple[str, ...], float]:
    """What the runs of the ledger add up to."""
    columns = ("created", "updated", "unchanged", "rejected")
    sums = ", ".join(f"sum({name})" for name in columns)
    found = rows(f"SELECT dataset, {sums} FROM runs GROUP BY dataset")
    return {
        (dataset, name): float(count) for dataset, *counts in found for name, count in zip(columns, counts, strict=True)
    }


@pytest.mark.slow
def test_prometheus_finds_everything_and_counters_go_on_over_deaths(
    database_url: str, redis_url: str, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    with ExitStack() as stack:
        stage = Stage(stack, database_url, redis_url, tmp_path)
        worker, serving = stage.start("worker", "worker", "-c", "2"), stage.metrics("metrics")
        stage.start("beat", "beat")
        worker.assert_says(" ready.")
        serving.assert_says(SERVING)
        stage.fetch("all", "--wait")
        asks_prometheus(stage, record_property)
        found = stage.read()
        assert found["celeryctl_build_info"] == {(__version__,): 1}
        assert found["celeryctl_rows_written_total"] == ledger()
        requests = found["celeryctl_source_requests_total"]
        asked = dict(rows("SELECT dataset, sum(requests)::float8 FROM runs GROUP BY dataset"))
        assert {source: requests["ok", source] for source in asked} == asked
        assert complaints(stage.page()) == ""

        os.kill(worker.pid, signal.SIGKILL)
        serving.ask(signal.SIGINT)
        assert serving.ended() == 0
        serving = stage.metrics("again")
        serving.assert_says(SERVING)
        assert counters(stage.read()) == counters(found)
        stage.fetch("users", "--refresh", "--sync")
        after = stage.read()["celeryctl_rows_written_total"]
        assert after == ledger() != found["celeryctl_rows_written_total"]

        servers_go_and_come(stage)
        assert serving.end() == 0


def asks_prometheus(stage: Stage, record_property: Callable[[str, Any], None]) -> None:
    """A real one has an answer to every name."""
    endings = {"histogram": "_bucket", "counter": "", "gauge": ""}
    names = ["celeryctl_build_info", *(one.name + endings[one.kind] for one in FAMILIES)]
    kinds = ("received", "started", "succeeded", "failed", "retried")
    names += [f"celery_task_{kind}_total" for kind in kinds] + ["celery_task_runtime_bucket"]
    eventually(lambda: stage.read()["celeryctl_beat_up"] == {(): 1})
    with prometheus(f"127.0.0.1:{stage.port}", stage.folder) as address:
        eventually(lambda: sum(map(float, query(address, "celery_task_succeeded_total"))) >= 3)
        answers = {name: query(address, name) for name in names}
    record_property("prometheus", list(answers.items()))
    assert not [name for name, values in answers.items() if not values]


def servers_go_and_come(stage: Stage) -> None:
    """First the one, then the other: the page says so, and that it is back."""
    for way, name in zip(stage.ways, UP, strict=True):
        target, way.target = way.target, ("127.0.0.1", 9)
        way.cut()
        found = eventually(lambda name=name: (page := stage.read())[name] == {(): 0} and page)  # type: ignore[misc]
        assert {found[other][()] for other in UP if other != name} == {1}
        assert page(f"http://127.0.0.1:{stage.port}/healthz") == "ok\n"
        way.target = target
        eventually(lambda name=name: stage.read()[name] == {(): 1})  # type: ignore[misc]
    with pytest.raises(HTTPError, match="404"):
        page(f"http://127.0.0.1:{stage.port}/nothing")
