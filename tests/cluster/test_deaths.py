"""What dies in the middle of a run: a child, a worker, the broker's memory. And workers of other kinds."""

import os
import signal
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
import redis
from waiting import eventually

from celeryctl.cluster.app import create_app

from .kit import context, process, settings, sources, value, worker

pytestmark = pytest.mark.integration

OPEN = "SELECT count(*) FROM runs WHERE status = 'running'"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["child", "worker", "flush"])
def test_a_run_is_completed_whoever_dies(victim: str, database_url: str, redis_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(sources(users=400, latency=0.7))
        variables = settings(database_url, redis_url, tmp_path, api=api, BATCH_SIZE="100")
        first = stack.enter_context(worker(tmp_path / "1.log", variables, "-n", "first@%h"))
        client = stack.enter_context(closing(redis.Redis.from_url(redis_url)))
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        waiting = stack.enter_context(process(["celeryctl", "fetch", "users"], tmp_path / "fetch.log", variables))
        eventually(lambda: value("SELECT count(*) FROM batches WHERE token IS NOT NULL") > 0)
        if victim == "child":
            os.kill(psutil.Process(first.pid).children()[0].pid, signal.SIGKILL)
        elif victim == "worker":
            first.kill()
            stack.enter_context(worker(tmp_path / "2.log", variables, "-n", "second@%h"))
        else:
            client.flushdb()
        eventually(lambda: value("SELECT count(*) FROM runs") and value(OPEN) == 0, within=40)
        eventually(lambda: not waiting.lives)
    assert (value("SELECT min(status) FROM runs"), value("SELECT count(*) FROM users")) == ("succeeded", 400)
    assert value("SELECT sum(created) FROM runs") == 400


@pytest.mark.slow
def test_a_worker_asked_to_end_finishes_its_batch_and_exits_with_0(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        variables = settings(database_url, redis_url, tmp_path, api=stack.enter_context(sources(latency=2)))
        only = stack.enter_context(worker(tmp_path / "log", variables))
        stack.enter_context(create_app(context(variables, tmp_path))).send_task("celeryctl.fetch.users")
        eventually(lambda: value("SELECT count(*) FROM batches WHERE token IS NOT NULL") == 1)
        assert only.end() == 0
    assert (value("SELECT count(*) FROM users"), value(OPEN), value("SELECT count(*) FROM workers")) == (10, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_the_other_pools_do_the_same(pool: str, database_url: str, redis_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        variables = settings(database_url, redis_url, tmp_path, api=stack.enter_context(sources()))
        one = stack.enter_context(worker(tmp_path / "log", variables, "-P", pool))
        app = stack.enter_context(create_app(context(variables, tmp_path)))
        app.send_task("celeryctl.fetch.users")
        eventually(lambda: value("SELECT count(*) FROM users") == 10 and value(OPEN) == 0)
        assert value("SELECT concurrency FROM workers") == (1 if pool == "solo" else 2)
        assert one.end() == 0
        assert "Traceback" not in one.text
