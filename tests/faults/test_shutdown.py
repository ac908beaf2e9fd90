"""Workers, beats and clients that are asked to end, at any moment: they end in time, and nothing gets lost."""

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from cluster.kit import rows, value
from waiting import eventually

from celeryctl.errors import UnreachableError
from celeryctl.storage import database as models

from .kit import Recovery, Stage, new_stage, pass_time
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


# How often every batch was claimed until it was done, and by whom in the end.
WATCHED = """
CREATE TABLE done (attempts integer, holder text);
CREATE FUNCTION note_done() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO done VALUES (OLD.attempts, OLD.holder); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER DELETE ON batches FOR EACH ROW EXECUTE FUNCTION note_done();
"""
HELD = "SELECT count(*) FROM batches WHERE holder LIKE %s AND due > now()"
COUNTED = "SELECT dataset, status, created, updated + unchanged + rejected FROM runs ORDER BY started_at, dataset"


def test_workers_are_replaced_one_by_one_and_no_batch_is_done_twice(tmp_path: Path) -> None:
    rounds = [("first", "second"), ("third", "fourth"), ("fifth", "sixth")]
    with new_stage(tmp_path, users=2000, latency=0.8, FETCH_THREADS="1", BATCH_SIZE="50") as stage:
        with models.transaction():
            models.database.execute_sql(WATCHED)
        start(stage, *rounds[0])
        client = stage.fetch("all")
        for old, new in pairwise(rounds):
            start(stage, *new)
            for name in old:
                eventually(lambda: value(HELD, name + "@%") > 0)  # noqa: B023 - at once
                assert_ends(stage.workers[name], signal.SIGTERM, within=GRACE)
        assert client.ended(90) == 0
        stage.audit()
        assert rows(COUNTED) == [(name, "succeeded", 2000, 0) for name in ("users", "addresses", "credit_cards")]
        assert rows("SELECT attempts, count(*) > 80 FROM done GROUP BY 1") == [(1, True)]
        done = {name.partition("@")[0] for (name,) in rows("SELECT DISTINCT holder FROM done")}
        assert {*rounds[0], *rounds[1]} <= done


def start(stage: Stage, *names: str) -> None:
    """Start workers with one process each, at the same time."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: stage.worker(name, "-c", "1"), names))


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
