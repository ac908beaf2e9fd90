"""What the stats count, who follows the ends of runs, and the signs of life."""

import threading
from datetime import timedelta

import pytest

from celeryctl.datasets.addresses import Address
from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.storage import coverage, heartbeat, runs, sources
from celeryctl.storage.coverage import Coverage
from celeryctl.storage.database import session, transaction
from celeryctl.storage.feed import Feed
from celeryctl.storage.misses import Missed, record
from celeryctl.storage.work import Work

from .ledgerkit import WORKS, drain, finish, order, people, sql, take

pytestmark = pytest.mark.integration
AGING = Work(name="addresses", model=Address, listing=False, page_size=1, batch_size=1, max_age=timedelta(hours=1))


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def counted(work: Work = AGING) -> Coverage:
    with session():
        return coverage.coverage(work)


def note(key: int, outcome: str) -> None:
    with transaction():
        record("addresses", [Missed(str(key), outcome)])  # type: ignore[arg-type]


def test_an_empty_database_counts_nothing() -> None:
    assert counted() == Coverage(0, 0, 0, 0)
    assert counted(WORKS["users"]) == Coverage(0, 0, 0, 0)


def test_rows_missing_stale_and_quarantined_are_counted() -> None:
    ids = people(6)
    drain(order(limit=3))
    sql("UPDATE addresses SET fetched_at = now() - interval '2 hours' WHERE user_id = %s", ids[0])
    note(ids[3], "none")
    note(ids[4], "rejected")
    assert counted() == Coverage(rows=3, missing=2, stale=1, quarantined=1)
    assert counted(WORKS["users"]) == Coverage(6, 0, 0, 0)


def test_a_user_that_has_a_row_and_of_whom_the_source_has_none_now_hides_no_other() -> None:
    ids = people(2)
    drain(order(limit=1))
    note(ids[0], "none")
    assert counted().missing == 1


def test_what_is_remembered_of_a_deleted_user_hides_no_other() -> None:
    ids = people(2)
    note(ids[0], "none")
    sql("DELETE FROM users WHERE id = %s", ids[0])
    assert counted().missing == 1


def test_users_with_a_row_in_every_table_are_counted() -> None:
    ids = people(3)
    drain(order(limit=2))
    sql("INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date) VALUES (%s, 'x', 'x', 'x')", ids[1])
    with session():
        assert [coverage.covered(Address), coverage.covered(CreditCard)] == [2, 1]
        assert coverage.covered(Address, CreditCard) == 1


def test_the_schedule_counts_whole_runs_from_the_source() -> None:
    with session():
        assert coverage.last_scheduled("addresses") is None
    people(1)
    order(limit=0)
    runs.open_run(runs.Order(dataset="users", trigger="seed"), WORKS)
    with session():
        assert coverage.last_scheduled("addresses") is None
        assert coverage.last_scheduled("users") is None
    run = order().run
    with session():
        assert coverage.last_scheduled("addresses") == run.started_at


def test_the_oldest_batch_that_waits_is_told_by_its_age() -> None:
    with session():
        assert coverage.oldest_waiting() == 0
    people(6)
    opened = order()
    sql("UPDATE batches SET created_at = now() - interval '90 seconds'")
    with session():
        assert 90 <= coverage.oldest_waiting() < 150
    for batch_id in opened.batches:
        take(batch_id)
    with session():
        assert coverage.oldest_waiting() == 0


def test_a_worker_is_alive_while_its_heart_beats(database_url: str) -> None:
    heartbeat.beat(database_url, name="b@host", active=1, concurrency=4, rss=2**40)
    heartbeat.beat(database_url, name="a@host", active=0, concurrency=2, rss=5)
    heartbeat.beat(database_url, name="b@host", active=3, concurrency=4, rss=2**40)
    sql("UPDATE workers SET seen_at = now() - interval '16 seconds' WHERE name = 'a@host'")
    with session():
        first, second = coverage.workers()
    assert (first["name"], first["alive"], second["name"], second["alive"]) == ("a@host", False, "b@host", True)
    assert (second["active"], second["concurrency"], second["rss_bytes"]) == (3, 4, 2**40)
    assert first["heartbeat_age_seconds"] >= 16
    heartbeat.gone(database_url, name="b@host")
    sql("UPDATE workers SET seen_at = now() - interval '61 minutes'")
    with session():
        assert coverage.workers() == []


def test_a_source_shows_how_it_answered_last() -> None:
    with session():
        assert coverage.sources() == {}
    sources.failed("users", "503")
    with session():
        state = coverage.sources()["users"]
    assert (state.error, state.last_ok) == ("503", None)
    sources.answered("users")
    sources.answered("users")
    with session():
        state = coverage.sources()["users"]
    assert (state.error, state.last_ok is None) == (None, False)
    sources.failed("users", "500")
    with session():
        assert coverage.sources()["users"].last_ok == state.last_ok


def test_a_feed_shows_every_run_that_ends_once() -> None:
    order()
    feed = Feed()
    assert feed.new() == []
    first = order().run
    second = order("users").run
    assert feed.new() == [first]
    assert runs.cancel(second.id)
    assert feed.new() == [second]
    assert feed.new() == []


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
    assert feed.new() == [opened.run]
