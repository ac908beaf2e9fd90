"""Workers, beats and clients that are asked to end, at any moment: they end in time, and nothing gets lost."""

import random
import signal
from pathlib import Path

import pytest

from celeryctl.errors import UnreachableError

from .kit import Recovery, new_stage, pass_time
from .strikes.programs import CODES, GRACE, assert_ends

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

ASKED = (signal.SIGTERM, signal.SIGINT)
INTERRUPTED = 130
PROGRAMS = {"beat": ["beat"], "client": ["fetch", "all"], "client that works": ["fetch", "all", "--sync"]}


def codes(program: str, number: signal.Signals) -> set[int]:
    """What it may end with once it was asked to: a client that has said something listens."""
    return {INTERRUPTED} if program.startswith("client") else CODES[number] | {INTERRUPTED, -number}


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
            assert_ends(worker, number)
            worker = stage.worker()
        stage.recovered(recovery, bound=40)
        assert client.ended() == 0


@pytest.mark.parametrize("number", ASKED, ids=lambda number: number.name)
@pytest.mark.parametrize("program", PROGRAMS)
def test_whoever_is_there_beside_a_worker_may_end_at_any_moment(
    program: str, number: signal.Signals, tmp_path: Path, recovery: Recovery
) -> None:
    chance = random.Random(f"{program} {number}")
    with new_stage(tmp_path, users=1200, latency=0.5, FETCH_THREADS="1", BATCH_SIZE="20") as stage:
        stage.worker()
        client = stage.fetch("all")
        stage.until_under_way()
        for attempt in range(4):
            if not stage.until_under_way_again():
                break
            victim = stage.program(f"victim-{attempt}", "celeryctl", *PROGRAMS[program])
            victim.assert_says("is starting" if program == "beat" else "users: ")
            pass_time(chance.uniform(0, 2))
            victim.ask(number)
            assert victim.ended(within=4 * GRACE) in codes(program, number), victim.text
        stage.recovered(recovery, bound=40)
        assert client.ended() == 0


@pytest.mark.parametrize("number", ASKED, ids=lambda number: number.name)
@pytest.mark.parametrize("program", ["worker", *PROGRAMS])
def test_what_ends_while_the_broker_is_away(
    program: str, number: signal.Signals, tmp_path: Path, recovery: Recovery
) -> None:
    with new_stage(tmp_path, latency=0.5, BATCH_SIZE="20") as stage:
        started = {"worker": stage.worker(), "beat": stage.beat()}
        started["beat"].assert_says("beat active")
        client = stage.fetch("all")
        stage.until_under_way()
        started |= {name: stage.program(name, "celeryctl", *PROGRAMS[name]) for name in PROGRAMS if name != "beat"}
        for name in ("client", "client that works"):
            started[name].assert_says("users: ")
        stage.broker.stop()
        started["worker"].assert_says("Connection to broker lost")
        started[program].ask(number)
        # One that works itself may have ended by then: in the broker it counts its requests.
        ended = {UnreachableError.exit_code, -number} if program == "client that works" else set()
        assert started[program].ended(within=4 * GRACE) in codes(program, number) | ended, started[program].text
        stage.broker.start()
        if program == "worker":
            stage.worker()
        stage.recovered(recovery, bound=40)
        assert client.ended() == 0
