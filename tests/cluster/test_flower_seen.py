"""Flower as a person sees it, in a browser, and what it still knows after it was started anew."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, needed
from waiting import eventually

from .kit import process, settings, sources, worker
from .test_flower import ANN, PASSWORD, Flower, flower

pytestmark = [pytest.mark.integration, pytest.mark.slow, needed]

USERS, BATCHES = 60, 13  # of their addresses and cards six each; all are on one page
COLUMNS = ["NAME", "ARGS", "STATE", "RECEIVED", "RUNTIME", "RETRIES", "WORKER", "UUID"]


@pytest.fixture
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    # In a folder of its own: what it has shown is looked through for card numbers, not what it keeps for itself.
    with browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def open_as_ann(seen: Browser, started: Flower, path: str) -> None:
    seen.open(f"http://ann:{PASSWORD}@127.0.0.1:{started.port}{path}")


def tasks(seen: Browser, started: Flower) -> list[dict[str, str]]:
    """What the page of tasks shows; by itself it does not change."""
    open_as_ann(seen, started, "/tasks")
    eventually(lambda: seen.table("#tasks-table") or "No tasks" in seen.text)
    return seen.table("#tasks-table")


def assert_modes(state: Path) -> None:
    """Nobody else reads what Flower keeps."""
    kept = [state, *state.iterdir()]
    assert len(kept) > 1
    assert {one.stat().st_mode & 0o077 for one in kept} == {0}


def end(started: Flower, number: signal.Signals, state: Path) -> None:
    """End it, a kill only once it has written down what it has seen."""
    if number == signal.SIGKILL:
        written = {one: one.stat().st_mtime_ns for one in state.iterdir()}
        eventually(lambda: all(one.stat().st_mtime_ns > at for one, at in written.items()))
    started.process.ask(number)
    started.process.ended()


def test_a_person_with_the_password_sees_what_a_fetch_does_also_after_flower_was_killed_or_ended(
    database_url: str, redis_url: str, tmp_path: Path, seen: Browser
) -> None:
    more = {**ANN, "FLOWER_STATE_SAVE_INTERVAL": "500"}
    state = tmp_path / ".celeryctl" / "flower"
    with sources(USERS, latency=0.3) as api, flower(redis_url, tmp_path, **more) as started:
        variables = settings(database_url, redis_url, tmp_path, api=api, BATCH_SIZE="10", FETCH_THREADS="1")
        with worker(tmp_path / "log", variables, "-n", "mine@here"):
            seen.open(f"http://127.0.0.1:{started.port}/workers")
            assert "mine@here" not in seen.text
            open_as_ann(seen, started, "/workers")
            eventually(lambda: re.search("mine@here\\s+Online", seen.text))
            with process(["celeryctl", "fetch", "all", "--wait"], tmp_path / "fetch.log", variables) as fetch:
                eventually(lambda: {"STARTED", "SUCCESS"} <= {row["STATE"] for row in tasks(seen, started)})
                if path := os.environ.get("FLOWER_PICTURE"):
                    seen.picture(path)
                assert fetch.ended(60) == 0
            eventually(lambda: [row["STATE"] for row in tasks(seen, started)] == ["SUCCESS"] * BATCHES)
        before = tasks(seen, started)
        assert_readable(before)
        seen.follow("#tasks-table tbody a[href*='/task/']")
        eventually(lambda: re.search("celeryctl.batch.*SUCCESS", seen.text, re.DOTALL))
        end(started, signal.SIGKILL, state)
    with flower(redis_url, tmp_path, **more) as started:
        assert tasks(seen, started) == before
        end(started, signal.SIGTERM, state)
    with flower(redis_url, tmp_path, **more) as started:
        assert len(started.document("/api/tasks")) == BATCHES
    assert_modes(state)


def assert_readable(shown: list[dict[str, str]]) -> None:
    """What is done where, and of its arguments nothing but a batch's number in the ledger."""
    assert list(shown[0]) == COLUMNS
    named = {(row["NAME"], row["WORKER"], row["RETRIES"]) for row in shown}
    assert named == {("celeryctl.batch", "mine@here", "0")}
    assert [row["ARGS"] for row in shown if not re.fullmatch(r"\[\d+\]", row["ARGS"])] == []
