"""What a worker does before and after it forks its processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from celery.concurrency.prefork import TaskPool
from waiting import eventually

from celeryctl.cluster.app import create_app
from celeryctl.cluster.signals import Pulse

from .kit import context, rows, settings, sources

pytestmark = pytest.mark.integration
APP = """import gc, json, sys
from celery import signals
from celeryctl.cluster.app import create_app
app = create_app()
"""
# What Python loads when it first looks up a name or prints a number, and what the tests' coverage brings along.
SMALL = ("encodings.", "coverage")


def told(code: str, variables: dict[str, str], folder: Path) -> object:
    """What the code prints, as JSON, in a process of its own, after making an app."""
    program = [sys.executable, "-P", "-c", APP + code]
    done = subprocess.run(program, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_first_batches_need_is_loaded_before_the_fork(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    code = """
from celeryctl.storage.runs import Order
signals.worker_init.send(app)
before = set(sys.modules)
states = []
for name in ("users", "credit_cards"):
    opened = app.pipeline.open(Order(dataset=name, trigger="test"))
    states.append(app.pipeline.drain(opened.run.id, lambda _: None).status)
print(json.dumps([states, sorted(set(sys.modules) - before)]))
"""
    with sources() as api:
        states, loaded = told(code, settings(database_url, redis_url, tmp_path, api=api), tmp_path)
    assert states == ["succeeded", "succeeded"]
    assert [name for name in loaded if not name.startswith(SMALL)] == []


def test_a_forked_process_looks_for_garbage_neither_in_what_it_came_with_nor_all_the_time(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    code = """
usual = gc.get_threshold()[0]
signals.worker_process_init.send(app)
print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > 10 * usual]))
"""
    assert told(code, settings(database_url, redis_url, tmp_path), tmp_path) == [True, True, True]


def test_a_heartbeat_comes_also_when_the_pool_has_ended(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        pulse = Pulse(app)
        pulse.start("worker", TaskPool(2))  # which was never started
        assert eventually(lambda: rows("SELECT name, concurrency FROM workers")) == [("worker", 0)]
        pulse.stop()
        assert rows("SELECT name FROM workers") == []
