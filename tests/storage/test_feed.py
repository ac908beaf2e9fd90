"""What happens to runs, told once each and in its order."""

import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from celeryctl.errors import CeleryctlError
from celeryctl.storage import runs
from celeryctl.storage.database import transaction
from celeryctl.storage.feed import DELETED, ENDED, OPENED, PROGRESS, Feed, Moment, Pace, current

from .ledgerkit import drain, finish, order, people, sql, take

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def told(moments: list[Moment]) -> list[tuple[str, str]]:
    return [(moment.kind, moment.run.dataset if moment.run else "") for moment in moments]


def test_everything_that_happens_to_a_run_is_told_once() -> None:
    drain(order())
    feed = Feed()
    assert feed.new() == []
    ids = people(6)
    opened = order()
    assert told(feed.new()) == [(OPENED, "addresses")]
    finish(take(opened.batches[0]))
    assert told(feed.new()) == [(PROGRESS, "addresses")]
    assert feed.new() == []
    finish(take(opened.batches[1]))
    assert told(feed.new()) == [(ENDED, "addresses")]
    assert feed.new() == []
    assert len(ids) == 6


def test_a_run_that_is_over_within_two_looks_is_told_from_its_opening_to_its_end() -> None:
    feed = Feed()
    people(1)
    drain(order())
    other = order("users").run
    assert runs.cancel(other.id)
    assert told(feed.new()) == [(OPENED, "addresses"), (ENDED, "addresses"), (OPENED, "users"), (ENDED, "users")]


def test_a_run_that_ended_before_the_feed_but_shows_after_it_is_not_missed() -> None:
    opened = order("users")
    claim = take(opened.batches[0])
    ready, go = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction():
            finish(claim, ended=True)
            ready.set()
            go.wait(30)

    finishing = threading.Thread(target=slow)
    finishing.start()
    assert ready.wait(30)
    feed = Feed()
    assert feed.new() == []
    go.set()
    finishing.join(30)
    assert told(feed.new()) == [(ENDED, "users")]


def test_a_run_that_somebody_deletes_is_told_as_such() -> None:
    run = order("users").run
    feed = Feed()
    sql("DELETE FROM runs")
    assert told(feed.new()) == [(DELETED, "users")]
    assert feed.new() == []
    with pytest.raises(CeleryctlError, match="is no longer there"):
        current(run.id)


def test_the_past_is_told_by_number_by_age_and_by_run() -> None:
    people(1)
    first = drain(order())
    sql("UPDATE runs SET started_at = now() - interval '2 hours', finished_at = now() - interval '1 hour'")
    second = order("users").run
    feed = Feed()
    everything = [(OPENED, "addresses"), (ENDED, "addresses"), (OPENED, "users")]
    assert told(feed.past(20)) == everything
    assert told(feed.past(2)) == everything[1:]
    assert feed.past(0) == []
    assert told(feed.past(20, age=timedelta(minutes=90))) == everything[1:]
    assert told(feed.past(20, age=timedelta(seconds=59))) == everything[2:]
    assert told(feed.past(20, run_id=first.id)) == everything[:2]
    assert told(feed.past(20, run_id=second.id)) == everything[2:]


def test_what_the_past_has_told_is_not_news() -> None:
    run = order("users").run
    feed = Feed()
    before = feed.past(20)
    runs.cancel(run.id)
    assert told(before) + told(feed.new()) == [(OPENED, "users"), (ENDED, "users")]


def test_progress_is_worth_a_word_by_tenths_and_now_and_then() -> None:
    clock = [0.0]
    pace = Pace(every=5, clock=lambda: clock[0])

    def due(done: int, status: str = "running", expected: int | None = 1000) -> bool:
        counts: dict[str, Any] = dict.fromkeys(("updated", "unchanged", "rejected", "absent"), 0)
        return pace.due(SimpleNamespace(id=1, status=status, expected=expected, created=done, **counts))  # type: ignore[arg-type]

    assert [due(done) for done in (0, 1, 99, 100, 101, 199, 200)] == [True, False, False, True, False, False, True]
    clock[0] = 4.9
    assert not due(201)
    clock[0] = 5.0
    assert due(201)
    assert due(202, status="succeeded")
