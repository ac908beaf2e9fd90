"""A worker with METRICS_PORT: what it serves is what its processes did."""

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from promtool import complaints
from relay import relay
from waiting import eventually

from celeryctl import __version__
from celeryctl.cluster.app import create_app
from celeryctl.cluster.tasks import BATCH
from celeryctl.local.ports import free_port

from .kit import context, process, run, settings, sources, worker

pytestmark = pytest.mark.integration

FETCH = "celeryctl.fetch.users"
OTHERS = ("solo", "threads")


def page(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def samples(port: int) -> Iterator[Any]:
    for family in parse(page(port)):
        yield from family.samples


def counted(port: int) -> dict[str, Counter[str]]:
    """What is above 0, by metric, then by task."""
    found: dict[str, Counter[str]] = {}
    for sample in samples(port):
        if sample.value and "queue_name" in sample.labels and "le" not in sample.labels:
            found.setdefault(sample.name.removeprefix("celery_task_"), Counter())[sample.labels["name"]] += sample.value
    return found


def gauges(port: int) -> dict[str, float]:
    return {one.name: one.value for one in samples(port) if set(one.labels) == {"hostname"}}


def serves(port: int) -> bool:
    try:
        return bool(page(port))
    except (URLError, OSError):
        return False


@pytest.mark.slow
def test_a_worker_counts_what_its_processes_did_and_what_became_of_it(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port, server = free_port(), urlsplit(database_url)
    with ExitStack() as stack:
        way = stack.enter_context(relay("127.0.0.1", (str(server.hostname), server.port or 5432)))
        url = server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{way.port}").geturl()
        variables = settings(url, redis_url, tmp_path, api=stack.enter_context(sources(latency=1)))
        variables["METRICS_PORT"] = str(port)
        one = stack.enter_context(worker(tmp_path / "log", variables, "-n", "one@%h"))
        app = stack.enter_context(create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)))
        name = f"one@{socket.gethostname()}"
        assert counted(port) == {}
        shown = {one.labels["name"] for one in samples(port) if one.name == "celery_task_failed_total"}
        assert {FETCH, BATCH} <= shown

        app.send_task(FETCH)
        eventually(lambda: gauges(port)["celery_worker_tasks_active"] == 1)
        eventually(lambda: counted(port).get("succeeded_total") == {FETCH: 1, BATCH: 1})
        app.send_task(FETCH, kwargs={"nonsense": 1})
        eventually(lambda: counted(port).get("failed_total") == {FETCH: 1})

        target, way.target = way.target, ("127.0.0.1", 9)
        way.cut()
        app.send_task(FETCH, kwargs={"refresh": True})
        eventually(lambda: counted(port).get("retried_total", {}).get(FETCH))
        way.target = target
        eventually(lambda: counted(port)["started_total"][BATCH] == 2)
        for child in psutil.Process(one.pid).children():
            os.kill(child.pid, signal.SIGKILL)
        # Its message comes again, and finds the batch in the hands of the one that has died.
        eventually(lambda: counted(port)["succeeded_total"][BATCH] == 2)

        found = counted(port)
        tried = found["retried_total"][FETCH]
        assert found["retried_total"] == {FETCH: tried, BATCH: 1}
        assert found["failed_total"] == {FETCH: 1}
        assert found["succeeded_total"] == {FETCH: 2, BATCH: 2} == found["runtime_count"]
        assert found["received_total"] == {FETCH: 3 + tried, BATCH: 3} == found["started_total"]
        assert found["received_total"] == (app.control.inspect([name]).stats() or {})[name]["total"]
        assert 1 <= found["runtime_sum"][BATCH] < 60
        assert {sample.labels["hostname"] for sample in samples(port) if "hostname" in sample.labels} == {name}
        assert (gauges(port)["celery_worker_up"], gauges(port)["celery_worker_tasks_active"]) == (1, 0)
        everybody = [psutil.Process(one.pid), *psutil.Process(one.pid).children(recursive=True)]
        assert len(everybody) == 3
        together = sum(process.memory_info().rss for process in everybody)
        assert gauges(port)["celeryctl_worker_rss_bytes"] == pytest.approx(together, rel=0.1)
        assert f'celeryctl_build_info{{version="{__version__}"}} 1.0' in page(port)
        assert complaints(page(port)) == ""
        assert one.end() == 0


@pytest.mark.parametrize("pool", ["prefork", *(pytest.param(pool, marks=pytest.mark.slow) for pool in OTHERS)])
def test_it_counts_in_every_pool_and_where_no_events_are_sent(
    pool: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "quiet.py").write_text("from celeryctl.celery import app\napp.conf.worker_send_task_events = False\n")
    port = free_port()
    silent = ["--without-heartbeat", "--without-gossip", "--without-mingle"]
    words = ["celeryctl.cluster", "-A", "quiet", "worker", "-P", pool, "-c", "2", "-Q", "celery,aside", *silent]
    more = {"METRICS_PORT": str(port), "PYTHONPATH": str(tmp_path)}
    with ExitStack() as stack:
        variables = settings(database_url, redis_url, tmp_path, api=stack.enter_context(sources()))
        one = stack.enter_context(process(words, tmp_path / "log", variables | more))
        app = stack.enter_context(create_app(context(variables, tmp_path)))
        one.assert_says(" ready.")
        app.send_task(FETCH, queue="aside")
        app.send_task(FETCH, kwargs={"nonsense": 1})
        eventually(lambda: counted(port).get("succeeded_total") == {FETCH: 1, BATCH: 1})
        eventually(lambda: counted(port).get("failed_total") == {FETCH: 1})
        assert counted(port)["received_total"] == {FETCH: 2, BATCH: 1} == counted(port)["started_total"]
        assert 'celery_task_succeeded_total{hostname="celery@' in page(port)
        assert f'name="{FETCH}",queue_name="aside"}} 1.0' in page(port)
        assert one.end() == 0


@pytest.mark.slow
def test_it_is_served_again_after_a_restart_and_by_a_worker_in_the_background(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    variables = settings(database_url, redis_url, tmp_path, METRICS_PORT=str(port := free_port()))
    with worker(tmp_path / "log", variables, "-c", "1") as one:
        assert serves(port)
        one.ask(signal.SIGHUP)
        one.assert_says(" ready.", times=2)
        assert serves(port)
        # A child keeps nothing of it, should it outlive the main process.
        (child,) = psutil.Process(one.pid).children()
        assert port not in [connection.laddr[1] for connection in child.net_connections()]
        assert one.end() == 0
    assert not serves(port)
    pidfile, log = tmp_path / "pid", str(tmp_path / "log")
    done = run(variables, tmp_path, "worker", "-c", "1", "-D", "--pidfile", str(pidfile), "--logfile", log)
    assert (done.returncode, done.stderr) == (0, "")
    eventually(lambda: serves(port))
    background = psutil.Process(int(pidfile.read_text()))
    background.terminate()
    background.wait(30)
    assert not serves(port)


def test_where_its_port_is_taken_no_worker_starts(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = settings(database_url, redis_url, tmp_path, METRICS_PORT=str(port))
        done = run(variables, tmp_path, "worker", "-D")
        again = run(variables, tmp_path, "-A", "celeryctl.celery", "worker", program="celeryctl.cluster")
    told = [
        f"Error: the metrics cannot be served on 127.0.0.1:{port}",
        "  why: Address already in use",
        "  fix: set METRICS_PORT to a free port",
    ]
    assert (done.returncode, done.stderr.splitlines()) == (1, told)
    assert (again.returncode, again.stderr.splitlines()[-3:]) == (1, told)
