"""Who lacks what, which workers live, and when each data set ran last."""

import pytest

from celeryctl.datasets.addresses import Address
from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.storage import coverage, heartbeat, runs
from celeryctl.storage.database import session

from .ledgerkit import WORKS, drain, order, people, sql

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


@pytest.mark.shows_numbers("its rows are not real ones: the column holds any text")
def test_users_with_a_row_in_every_table_are_counted() -> None:
    ids = people(3)
    drain(order(limit=2))
    sql("INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date) VALUES (%s, 'x', 'x', 'x')", ids[1])
    with session():
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


def test_a_worker_is_alive_while_its_heart_beats(database_url: str) -> None:
    heartbeat.beat(database_url, name="b@host", active=1, concurrency=4, rss=2**40)
    heartbeat.beat(database_url, name="a@host", active=0, concurrency=2, rss=5)
    heartbeat.beat(database_url, name="b@host", active=3, concurrency=4, rss=2**40)
    sql("UPDATE workers SET seen_at = now() - interval '16 seconds' WHERE name = 'a@host'")
    with session():
        first, second = coverage.heartbeats()
        assert coverage.alive() == {"a@host": False, "b@host": True}
        ages = coverage.heartbeats()
    assert (first, second) == ("a@host", "b@host")
    assert ages["a@host"] >= 16 > ages["b@host"]
    heartbeat.gone(database_url, name="b@host")
    sql("UPDATE workers SET seen_at = now() - interval '61 minutes'")
    with session():
        assert coverage.heartbeats() == coverage.alive() == {}
