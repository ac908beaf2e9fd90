"""A database that is stopped, away, frozen, locked, or whose last word gets lost: the cluster goes on by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from .kit import Recovery, Stage, assert_gets_over, connected, new_stage, pass_time

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

BOUND = 30  # seconds after the database is back


def stopped(stage: Stage) -> None:
    stage.database.stop()
    stage.database.start()


def stopped_again_and_again(stage: Stage) -> None:
    for _ in range(3):
        stopped(stage)
        if not stage.until_under_way_again():
            break


def away(stage: Stage) -> None:
    stage.database.stop()
    pass_time(60)
    stage.database.start()


def frozen(stage: Stage) -> None:
    stage.database.freeze()
    pass_time(30)
    stage.database.thaw()


def locked(stage: Stage) -> None:
    """For longer than a lease."""
    with connected(stage.database.url) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        pass_time(15)
        cursor.execute("ROLLBACK")


def commit_lost(stage: Stage) -> None:
    """The database says that it has committed, and the line is cut before anybody hears it: three times."""
    way, lost = stage.to_database, list[bytes]()
    assert way is not None

    def swallow(data: bytes) -> bytes:
        if len(lost) == 3 or b"COMMIT\0" not in data:
            return data
        lost.append(data)
        way.cut()
        return b""

    way.reply = swallow
    eventually(lambda: len(lost) == 3)


FAULTS: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "stopped in mid-transaction": (stopped, {}),
    "stopped again and again": (stopped_again_and_again, {}),
    "away for a minute": (away, {}),
    "frozen": (frozen, {}),
    "locked": (locked, {}),
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
