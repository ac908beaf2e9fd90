"""Workers that die in the midst of a batch, or stand still for too long."""

import time

import pytest
from waiting import eventually

from .kit import Recovery, children, kill, new_stage

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("victim", ["child", "main"])
def test_a_worker_killed_in_mid_batch(victim: str, tmp_path, recovery: Recovery) -> None:
    with new_stage(tmp_path) as stage:
        first = stage.worker("first")
        stage.worker("second")
        client = stage.fetch("all")
        stage.until_under_way()
        since = time.monotonic()
        kill(children(first)[0] if victim == "child" else first)
        stage.recovered(recovery, bound=10, since=since)
        eventually(lambda: not client.lives)
