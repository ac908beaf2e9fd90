"""Sealed values are sealed anew with another key: all of them, once, whoever writes meanwhile."""

import itertools
import threading

import pytest
from servers import KEY

from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.settings import new_key
from celeryctl.storage import heartbeat, rotation
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import transaction
from celeryctl.storage.rows import Rows
from celeryctl.storage.upsert import upsert

from .ledgerkit import people, sql

pytestmark = pytest.mark.integration

(CARDS,) = rotation.columns(CreditCard, ("user",))
NEWEST = str(new_key())
OLD, NEW, NEW_ALONE = Keyring([KEY]), Keyring([NEWEST, KEY]), Keyring([NEWEST])
MANY = 3 * rotation.BATCH // 2
VALUES = "SELECT user_id, card_number, updated_at, fetched_at FROM credit_cards ORDER BY user_id"


def store(users: list[int], ring: Keyring, shift: int = 0) -> None:
    numbers = [CARD_NUMBERS[(user + shift) % 4] for user in users]
    rows = [{"user": user, "card_number": number, "card_type": "visa", "expiry_date": "2030-01-01"}
            for user, number in zip(users, numbers, strict=True)]  # fmt: skip
    with transaction():
        upsert(Rows(CreditCard, ("user",), rows), ring)


def assert_all_open(users: list[int]) -> None:
    """Every user's number is the right one, and opens with the new key alone."""
    found = {user: NEW_ALONE.open(value, f"credit_cards|{user}") for user, value, *_ in sql(VALUES)}
    assert found == {user: CARD_NUMBERS[user % 4] for user in users}


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def test_every_value_is_sealed_anew_and_nothing_else_is_changed() -> None:
    users = people(MANY)
    store(users, OLD)
    before, steps = sql(VALUES), list[int]()
    assert rotation.counts(CARDS) == {OLD.ids[0]: MANY}
    assert rotation.rotate(CARDS, NEW, steps.append) == MANY
    assert rotation.counts(CARDS) == {NEW.ids[0]: MANY}
    assert steps == [rotation.BATCH, MANY - rotation.BATCH]
    assert_all_open(users)
    assert [(user, *times) for user, _, *times in sql(VALUES)] == [(user, *times) for user, _, *times in before]
    assert rotation.rotate(CARDS, NEW, steps.append) == 0


def test_what_was_cut_off_goes_on_where_it_was() -> None:
    users = people(MANY)
    store(users, OLD)

    def cut_off(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(CARDS, NEW, cut_off)
    assert rotation.counts(CARDS) == {NEW.ids[0]: rotation.BATCH, OLD.ids[0]: MANY - rotation.BATCH}
    assert rotation.rotate(CARDS, NEW, lambda _: None) == MANY - rotation.BATCH
    assert_all_open(users)


@pytest.mark.shows_numbers("a value that cannot be opened is any text")
def test_what_cannot_be_opened_is_left_and_counted() -> None:
    users = people(4)
    store(users, OLD)
    sql("UPDATE credit_cards SET card_number = %s WHERE user_id = %s", "not sealed", users[1])
    sql("UPDATE credit_cards SET card_number = (SELECT card_number FROM credit_cards WHERE user_id = %s) "
        "WHERE user_id = %s", users[0], users[2])  # fmt: skip
    moved = sql(VALUES)[1:3]
    assert rotation.rotate(CARDS, NEW, lambda _: None) == 2
    assert [row[1] for row in sql(VALUES)[1:3]] == [row[1] for row in moved]
    assert rotation.counts(CARDS) == {NEW.ids[0]: 2, OLD.ids[0]: 1, None: 1}


def test_workers_may_write_meanwhile() -> None:
    users = people(MANY)
    store(users, OLD)
    going, failed = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            for shift in itertools.takewhile(lambda _: not going.is_set(), itertools.count()):
                store(users, Keyring([KEY, NEWEST]), shift)  # which has the new key, and does not seal with it yet
        except BaseException as exc:  # noqa: BLE001 - told by the test
            failed.append(exc)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            rotation.rotate(CARDS, NEW, lambda _: None)
    finally:
        going.set()
        writer.join(60)
    assert not failed
    store(users, NEW)
    rotation.rotate(CARDS, NEW, lambda _: None)
    assert rotation.counts(CARDS) == {NEW.ids[0]: MANY}
    assert_all_open(users)


def test_a_living_worker_that_seals_with_another_key_is_found(database_url: str) -> None:
    for name, key_id in (("a@h", OLD.ids[0]), ("b@h", NEW.ids[0]), ("c@h", None), ("d@h", OLD.ids[0])):
        heartbeat.beat(database_url, name=name, active=0, concurrency=1, rss=1, key_id=key_id)
    sql("UPDATE workers SET seen_at = now() - interval '1 minute' WHERE name = 'd@h'")
    assert rotation.others(NEW.ids[0]) == [("a@h", OLD.ids[0]), ("c@h", None)]
