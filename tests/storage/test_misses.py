"""What was missed is remembered, asked for again after growing pauses, and forgotten when it comes."""

from dataclasses import replace
from datetime import timedelta

import pytest

from celeryctl.datasets.addresses import Address
from celeryctl.storage.database import transaction
from celeryctl.storage.misses import FIRST_PAUSE, LONGEST_PAUSE, Missed, clear, record
from celeryctl.storage.rows import Rows

from .ledgerkit import PLACE, WORKS, drain, finish, open_batches, order, people, sql, take

pytestmark = pytest.mark.integration
PAUSE = "SELECT round(extract(epoch FROM next_try - tried_at))::int, attempts FROM misses"


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def note(*missed: Missed) -> None:
    with transaction():
        record(WORKS["addresses"], missed)


def rejected(key: object, **more: int) -> Missed:
    return Missed(str(key), "rejected", ("city is missing", "state is empty"), **more)


def test_a_rejected_record_is_asked_for_again_after_pauses_that_double() -> None:
    (user_id,) = people(1)
    pauses = []
    for _ in range(4):
        note(rejected(user_id))
        pauses += sql(PAUSE)
    assert pauses == [(FIRST_PAUSE, 1), (2 * FIRST_PAUSE, 2), (4 * FIRST_PAUSE, 3), (8 * FIRST_PAUSE, 4)]
    note(rejected(user_id))
    assert sql("SELECT next_try, attempts, reasons FROM misses") == [(None, 5, ["city is missing", "state is empty"])]


def test_a_pause_is_a_day_at_most() -> None:
    (user_id,) = people(1)
    for _ in range(13):
        note(rejected(user_id, most_attempts=100))
    assert sql(PAUSE) == [(LONGEST_PAUSE, 13)]
    sql("UPDATE misses SET attempts = 90")
    note(rejected(user_id, most_attempts=100))
    assert sql(PAUSE) == [(LONGEST_PAUSE, 91)]


def test_what_may_be_tried_once_is_quarantined_at_once() -> None:
    note(rejected(people(1)[0], most_attempts=1))
    assert sql("SELECT next_try FROM misses") == [(None,)]


@pytest.mark.parametrize("outcome", ["failed", "none"])
def test_what_failed_or_is_not_there_is_not_asked_for_by_itself(outcome: str) -> None:
    (user_id,) = people(1)
    note(Missed(str(user_id), outcome), Missed(str(user_id), outcome))  # type: ignore[arg-type]
    assert sql("SELECT outcome, attempts, next_try FROM misses") == [(outcome, 1, None)]
    assert order().run.expected == 0
    assert order(refresh=True).run.expected == 1


def test_a_user_whose_record_was_rejected_is_wanted_again_when_its_pause_is_over() -> None:
    (user_id,) = people(1)
    note(rejected(user_id))
    assert order().run.expected == 0
    sql("UPDATE misses SET next_try = now()")
    opened = order()
    assert open_batches() == [(user_id, user_id)]
    assert drain(opened).created == 1
    assert sql("SELECT count(*) FROM misses") == [(0,)]


def test_nothing_there_is_remembered_until_it_is_stale() -> None:
    (user_id,) = people(1)
    aging = {**WORKS, "addresses": replace(WORKS["addresses"], max_age=timedelta(hours=1))}
    note(Missed(str(user_id), "none"))
    assert order(works=aging).run.expected == 0
    sql("UPDATE misses SET tried_at = now() - interval '61 minutes'")
    assert order().run.expected == 0
    assert order(works=aging).run.expected == 1


def test_a_miss_of_one_data_set_means_nothing_to_another() -> None:
    (user_id,) = people(1)
    with transaction():
        record(replace(WORKS["addresses"], name="credit_cards"), [rejected(user_id)])
    assert drain(order()).created == 1
    assert sql("SELECT count(*) FROM misses") == [(1,)]


def test_a_whole_listing_forgets_what_it_no_longer_rejects() -> None:
    def pages(*missed: Missed, **more: int) -> None:
        finish(take(order("users", **more).batches[0]), *missed, ended=True)

    pages(Missed("1", "rejected", ("bad",)), Missed("2", "rejected", ("bad",)))
    pages(Missed("2", "rejected", ("bad",)), limit=1)
    assert sql("SELECT key FROM misses ORDER BY key") == [("1",), ("2",)]
    pages(Missed("2", "rejected", ("bad",)))
    assert sql("SELECT key, attempts FROM misses") == [("2", 3)]


def test_misses_are_cleared_by_user_whatever_the_key_of_a_row_begins_with() -> None:
    (user_id,) = people(1)
    note(rejected(user_id))
    with transaction():
        clear(WORKS["addresses"], Rows(Address, ("city", "user"), [{"user": user_id, **PLACE}]))
    assert sql("SELECT count(*) FROM misses") == [(0,)]
