"""A database that is stopped, away, frozen, locked, or whose last word gets lost: the cluster goes on by itself."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from .kit import Recovery, Stage, new_stage
from .outage import assert_gets_over, lasting
from .strikes import database

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

BOUND = 30  # seconds after the database is back
LONGER_THAN_A_LEASE = 15  # seconds


def stopped_again_and_again(stage: Stage) -> None:
    for _ in range(3):
        lasting(database.stopped)(stage)
        if not stage.until_under_way_again():
            break


def commit_lost(stage: Stage) -> None:
    with database.commit_lost(stage, times=3) as lost:
        eventually(lambda: len(lost) == 3)


FAULTS: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "stopped in mid-transaction": (lasting(database.stopped), {}),
    "stopped again and again": (stopped_again_and_again, {}),
    "away for a minute": (lasting(database.stopped, 60), {}),
    "frozen": (lasting(database.frozen, 30), {}),
    "locked": (lasting(partial(database.locked, table="users"), LONGER_THAN_A_LEASE), {}),
    "cut off after a commit": (commit_lost, {"relays": True}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cluster_gets_over_a_database_that_is(fault: str, tmp_path: Path, recovery: Recovery) -> None:
    strike, circumstances = FAULTS[fault]
    assert_gets_over(strike, circumstances, tmp_path, recovery, bound=BOUND)


def test_a_pool_that_is_too_small_queues(tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, latency=0.1, DATABASE_POOL_SIZE="1", FETCH_THREADS="4") as stage:
        worker = stage.worker("worker", "-P", "threads", "-c", "4")
        client = stage.fetch("all")
        stage.recovered(recovery, bound=BOUND)
        eventually(lambda: not client.lives)
        assert "became free" not in worker.text
