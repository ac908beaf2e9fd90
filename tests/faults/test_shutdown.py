"""Workers and beats that are asked to end, at any moment: they end in time, and nothing gets lost."""

import random
import signal
from pathlib import Path

import pytest
from cluster.kit import Process
from waiting import eventually

from .kit import Recovery, new_stage, pass_time
from .strikes.programs import CODES, GRACE, end

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_worker_may_end_at_any_moment(number: signal.Signals, tmp_path: Path, recovery: Recovery) -> None:
    chance = random.Random(int(number))
    with new_stage(tmp_path, latency=0.5, FETCH_THREADS="1") as stage:
        worker = stage.worker()
        stage.beat()
        client = stage.fetch("all")
        stage.until_under_way()
        for _ in range(3):
            if not stage.until_under_way_again():
                break
            pass_time(chance.random())
            end(worker, number)
            worker = stage.worker()
        stage.recovered(recovery, bound=40)
        eventually(lambda: not client.lives)


@pytest.mark.parametrize("program", ["worker", "beat", "fetch"])
def test_what_ends_while_the_broker_is_away(program: str, tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, latency=0.5) as stage:
        worker = stage.worker()
        beat = stage.beat()
        beat.assert_says("beat active")
        client = stage.fetch("all")
        stage.until_under_way()
        stage.broker.stop()
        worker.assert_says("Connection to broker lost")
        victim: Process = {"worker": worker, "beat": beat, "fetch": client}[program]
        victim.ask(signal.SIGTERM)
        assert victim.ended(within=4 * GRACE) in ({0} if program != "fetch" else {130, -signal.SIGTERM, 143})
        stage.broker.start()
        if program == "worker":
            stage.worker()
        stage.recovered(recovery, bound=40)
