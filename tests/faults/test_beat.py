"""Beats that are stopped, whose clocks are wrong, or that find garbage where Celery would keep its schedule."""

import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest
from cluster.kit import rows, value
from waiting import eventually

from .kit import Recovery, new_stage
from .strikes import programs

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

TAKEOVER = 15  # seconds
EVERY = {"FETCH_USERS_INTERVAL": "2s", "FETCH_ADDRESSES_INTERVAL": "1h", "FETCH_CREDIT_CARDS_INTERVAL": "1h"}
RUNS = "SELECT count(*) FROM runs WHERE trigger = 'schedule' AND dataset = 'users'"
SLOTS = "SELECT slot FROM runs WHERE trigger = 'schedule' AND dataset = 'users' ORDER BY started_at"


def more_runs(count: int = 2) -> None:
    """Wait until so many more slots have been run."""
    before = value(RUNS)
    eventually(lambda: value(RUNS) >= before + count, within=4 * TAKEOVER)


def slots() -> list[float]:
    return [slot.timestamp() for (slot,) in rows(SLOTS)]


def test_an_active_beat_that_stands_still_is_relieved_and_stands_by_afterwards(
    tmp_path: Path, recovery: Recovery
) -> None:
    with new_stage(tmp_path, users=10, latency=0, **EVERY) as stage:
        stage.worker()
        frozen = stage.beat("first")
        frozen.assert_says("beat active")
        other = stage.beat("second")
        other.assert_says("beat stands by")
        more_runs()
        with programs.frozen(frozen):
            began = time.monotonic()
            other.assert_says("beat active", within=4 * TAKEOVER)
            more_runs(1)
            recovery(time.monotonic() - began, TAKEOVER)
        frozen.assert_says("beat stands by", within=4 * TAKEOVER)
        more_runs()
        assert len(set(slots())) == len(slots())
        assert (frozen.end(), other.end()) == (0, 0)


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
@pytest.mark.parametrize("shift", ["+1h", "-1h"])
def test_a_clock_that_is_an_hour_wrong_opens_nothing_too_early_and_nothing_twice(shift: str, tmp_path: Path) -> None:
    with new_stage(tmp_path, users=10, latency=0, **EVERY) as stage:
        stage.worker()
        wrong = stage.beat("wrong", before=("faketime", "-f", shift))
        wrong.assert_says("beat active")
        more_runs(3)
        right = stage.beat("right")
        right.assert_says("beat stands by")
        wrong.kill()
        right.assert_says("beat active", within=4 * TAKEOVER)
        more_runs(3)
        distances = [later - earlier for earlier, later in pairwise(slots())]
        assert min(distances) >= 2
        assert max(distances) < 4 * TAKEOVER
        assert value("SELECT count(*) FROM runs WHERE slot > now() + interval '1 minute'") == 0


def test_a_schedule_file_full_of_garbage_does_no_harm(tmp_path: Path) -> None:
    garbage = tmp_path / "celerybeat-schedule"
    garbage.write_bytes(bytes(range(256)) * 16)
    with new_stage(tmp_path, users=10, latency=0, **EVERY) as stage:
        stage.worker()
        found = stage.beat("beat", "-s", str(garbage))
        found.assert_says("beat active")
        more_runs()
        assert found.end() == 0
    assert garbage.read_bytes() == bytes(range(256)) * 16
