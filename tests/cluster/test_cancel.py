"""A run that is cancelled while a worker is at it."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from waiting import eventually

from .kit import process, run, settings, sources, value, worker

pytestmark = [pytest.mark.integration, pytest.mark.slow]

USERS = 300
MADE = "SELECT count(*) FROM addresses"


def test_a_cancelled_run_keeps_what_is_stored_and_the_next_one_goes_on(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(sources(USERS, latency=0.2))
        variables = settings(database_url, redis_url, tmp_path, api=api, BATCH_SIZE="10", FETCH_THREADS="1")
        stack.enter_context(worker(tmp_path / "worker.log", variables))
        assert run(variables, tmp_path, "fetch", "users", "--wait").returncode == 0
        words = ["celeryctl", "fetch", "addresses", "--wait"]
        waiting = stack.enter_context(process(words, tmp_path / "client.log", variables))
        eventually(lambda: value(MADE) > 0)
        done = run(variables, tmp_path, "cancel", str(value("SELECT id FROM runs WHERE dataset = 'addresses'")))
        assert done.returncode == 0, done.stderr
        stored = value(MADE)
        assert 0 < stored < USERS
        eventually(lambda: not waiting.lives)
        assert "cancelled" in waiting.text
        assert run(variables, tmp_path, "fetch", "addresses", "--wait").returncode == 0
    assert value(MADE) == USERS
    assert value("SELECT created FROM runs WHERE status = 'succeeded' AND dataset = 'addresses'") <= USERS - stored
    assert value("SELECT sum(created) FROM runs WHERE dataset = 'addresses'") == USERS
