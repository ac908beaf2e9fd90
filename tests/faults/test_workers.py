"""Workers that die in the midst of a batch, or stand still for too long."""

import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from cluster.kit import rows, value
from faultserver import FaultServer, Reply, Request
from waiting import eventually

from celeryctl.cluster.app import VISIBILITY

from .kit import Recovery, Stage, children, kill, new_stage, pass_time
from .strikes import programs

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(400)]

REDONE = 10  # seconds after its holder's death
REPLACED = 30  # seconds after a process that is free has been given a task that it does not begin


@pytest.mark.parametrize("victim", ["child", "main"])
def test_a_worker_killed_in_mid_batch(victim: str, tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, latency=1) as stage:
        stage.worker("first", "-c", "1")
        stage.worker("second", "-c", "1")
        client = stage.fetch("all")
        holder = stage.holder()
        node = f"{'first' if holder is stage.workers['first'] else 'second'}@%"
        held = rows("SELECT id, token FROM batches WHERE token IS NOT NULL AND holder LIKE %s", node)
        kill(children(holder)[0] if victim == "child" else holder)
        began = time.monotonic()
        eventually(lambda: not set(held) & set(rows("SELECT id, token FROM batches")), within=4 * REDONE)
        recovery(time.monotonic() - began, REDONE)
        eventually(stage.is_complete, within=60)
        stage.audit()
        eventually(lambda: not client.lives)
    assert "Traceback" not in client.text


def consumes(stage: Stage) -> bool:
    """Somebody waits for a message."""
    with closing(redis.Redis.from_url(stage.broker.url)) as client:
        return any(one["cmd"] == "brpop" for one in client.client_list())


@pytest.mark.parametrize("reconnects", [0, 2])
def test_a_child_that_does_not_begin_with_its_task_is_replaced(
    reconnects: int, tmp_path: Path, recovery: Recovery
) -> None:
    with new_stage(tmp_path) as stage:
        worker = stage.worker("first")
        for _ in range(reconnects):
            stage.broker.stop()
            stage.broker.start()
            eventually(lambda: consumes(stage), within=60)
        for child in children(worker):
            child.suspend()
        client = stage.fetch("all")
        eventually(lambda: value("SELECT count(*) FROM runs") > 0, within=60)
        stage.recovered(recovery, bound=REPLACED)
        eventually(lambda: not client.lives)
        assert client.end() == 0
        assert worker.lives
        worker.assert_says("were not begun though processes are free: 2 are replaced")


FATAL = """
import os, resource, signal
import msgspec, peewee
from datetime import timedelta
from celeryctl import Dataset, Row, Source, User

class Grade(Row):
    user = peewee.ForeignKeyField(User, backref="grades", unique=True, on_delete="CASCADE")
    grade = peewee.TextField()

class Record(msgspec.Struct):
    external_id: int
    city: str

def to_row(record):
    if record.external_id == 7:
        {death}
    return {{"grade": record.city}}

DATASET = Dataset(
    name="grades", help="A grade of every user.", model=Grade, record=Record, to_row=to_row,
    source=Source.lookup("{url}?ids={{external_ids}}", key="external_id", batch=100), every=timedelta(minutes=10),
    per="users",
)
"""
DIED = "not done after 3 attempts: its worker died, or the database refused it"
PARKED_AS = {
    "killed": ("failed", DIED),
    "out of memory": ("rejected", "to_row raised MemoryError"),  # which a process survives
    "killed for its memory": ("failed", DIED),
}
PARKED = "SELECT u.external_id, outcome, next_try, reasons[1] FROM misses m JOIN users u ON u.id = m.user_id"
DEATHS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "out of memory": "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); bytearray(8 << 30)",
    "killed for its memory": "held = bytearray(1 << 28); os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_record_that_kills_its_worker_is_parked_and_the_others_are_stored(death: str, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    with FaultServer() as server, new_stage(tmp_path, users=20, latency=0) as stage:
        url = server.answer("/grades", grades)
        (tmp_path / "datasets" / "grades.py").write_text(FATAL.format(death=DEATHS[death], url=url))
        more = {"CELERYCTL_DATASETS": str(tmp_path / "datasets"), "MAX_ATTEMPTS": "3", "BATCH_SIZE": "5"}
        stage.variables.update(more)
        assert stage.run("init-db").returncode == 0
        stage.worker("first")
        client = stage.fetch("all")
        eventually(lambda: not client.lives, within=300)
        stage.audit()
        assert value("SELECT count(*) FROM grade") == 19
        outcome, reason = PARKED_AS[death]
        assert [(one[0], one[1], one[3]) for one in rows(PARKED)] == [(7, outcome, reason)]


def grades(request: Request) -> Reply:
    return Reply.json([{"external_id": int(one), "city": "x"} for one in request.query["ids"].split(",")])


@pytest.mark.parametrize("seconds", [0, VISIBILITY + 10])  # its lease is over anyway when the other has done its work
def test_a_worker_that_stood_still_does_not_write_over_newer_work(seconds: float, tmp_path: Path) -> None:
    with new_stage(tmp_path, latency=1) as stage:
        stage.worker("first")
        client = stage.fetch("users")
        frozen = stage.holder()
        with programs.frozen(frozen):
            held = rows("SELECT id, token FROM batches WHERE token IS NOT NULL")
            stage.worker("second")
            eventually(lambda: not client.lives, within=60)
            assert client.end() == 0
            before = rows("SELECT * FROM users ORDER BY id")
            pass_time(seconds)
        assert stage.run("fetch", "all").returncode == 0
        eventually(stage.is_complete, within=40)
        assert held
        assert rows("SELECT * FROM users ORDER BY id") == before
        assert value("SELECT sum(created) FROM runs WHERE dataset = 'users'") == stage.users
        assert frozen.lives
        stage.workers["second"].end()
        assert stage.run("fetch", "all", "--refresh").returncode == 0  # by the one that stood still
