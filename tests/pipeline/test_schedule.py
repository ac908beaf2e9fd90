"""When each data set is due."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeryctl.pipeline.schedule import next_due
from celeryctl.storage import coverage, sources
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

pytestmark = pytest.mark.integration

EVERY = timedelta(minutes=5)


@pytest.fixture(autouse=True)
def connected(database_url: str) -> Iterator[None]:
    with session():
        yield


def ran(ago: int, **more: object) -> Run:
    """A run that began so many seconds ago."""
    started = coverage.clock() - timedelta(seconds=ago)
    own = {"status": "succeeded", "page_size": 1, "batch_size": 1, "trigger": "schedule", "dataset": "users"}
    return Run.create(id=uuid.uuid4(), started_at=started, **{**own, **more})


def test_what_never_ran_is_due_at_the_beginning_of_its_interval() -> None:
    due, now = next_due("users", EVERY), coverage.clock()
    assert now - EVERY <= due <= now
    assert due.timestamp() % EVERY.total_seconds() == 0
    assert next_due("users", timedelta(days=10_000)) <= now


def test_it_is_due_an_interval_after_the_last_run_began() -> None:
    run = ran(10)
    ran(1000)
    assert next_due("users", EVERY) == run.started_at + EVERY
    assert next_due("users", timedelta(seconds=1)) < coverage.clock()


@pytest.mark.parametrize("trigger", ["command", "task", "up"])
def test_runs_that_a_person_asked_for_count_too(trigger: str) -> None:
    run = ran(10, trigger=trigger, status="failed")
    assert next_due("users", EVERY) == run.started_at + EVERY


@pytest.mark.parametrize("more", [{"record_limit": 5}, {"trigger": "seed"}, {"dataset": "addresses"}])
def test_parts_seeds_and_other_data_sets_do_not_count(more: dict[str, object]) -> None:
    run = ran(100)
    ran(10, **more)
    assert next_due("users", EVERY) == run.started_at + EVERY


def test_a_source_that_is_left_alone_is_not_asked_before_that_is_over() -> None:
    run = ran(200)
    for _ in range(4):
        sources.failed("users", "503")
    asks_again_at = sources.asks_again_at("users")
    assert asks_again_at is not None
    assert next_due("users", timedelta(seconds=1)) == asks_again_at
    assert next_due("users", EVERY) == run.started_at + EVERY
    sources.answered("users")
    assert next_due("users", timedelta(seconds=1)) < coverage.clock()
