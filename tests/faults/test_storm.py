"""Workers that are killed again and again while they work, wherever they are."""

import random
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cluster.kit import Process, value
from waiting import eventually

from celeryctl.local.children import lives

from .kit import Recovery, Stage, children, kill, new_stage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

KILLS, USERS, SEED = 100, 20_000, 7
CHILDREN = 2
RUNNING = "SELECT count(*) FROM runs WHERE status = 'running'"
ONE_RECONCILIATION = 15 + 30  # seconds: until leases are over, and for the work that is left


def test_random_kills_under_a_fetch(tmp_path: Path, recovery: Recovery) -> None:
    chance = random.Random(SEED)
    with new_stage(tmp_path, users=USERS, latency=0.3, BATCH_SIZE="200", FETCH_THREADS="1") as stage:
        for name in ("first", "second"):
            stage.worker(name)
        stage.beat()
        stage.fetch("all")
        stage.until_under_way()
        for _ in range(KILLS):
            strike(stage, chance)
            if value(RUNNING) == 0:
                stage.fetch("all", "--refresh")
                eventually(lambda: value(RUNNING) > 0, within=60)
        stage.recovered(recovery, bound=ONE_RECONCILIATION)
        assert value("SELECT count(*) FROM misses") == 0


def strike(stage: Stage, chance: random.Random) -> None:
    """Kill a process of a worker, as a supervisor would start it again; of what the worker itself replaces, wait."""
    name = chance.choice(sorted(stage.workers))
    worker = stage.workers[name]
    if chance.random() < 0.5:
        kill(worker)
        eventually(lambda: not worker.lives)
        stage.worker(name)
    else:
        with suppress(ProcessLookupError):  # it has just died of an earlier kill
            kill(chance.choice(whole(worker)))
        whole(worker)


def whole(worker: Process) -> list[psutil.Process]:
    """The worker's children, as soon as all are there."""
    return eventually(lambda: found if len(found := living(worker)) == CHILDREN else None)


def living(worker: Process) -> list[psutil.Process]:
    return [one for one in children(worker) if lives(one)]
