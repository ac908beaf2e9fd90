"""Runs from their opening to their end, over a real database and a source on loopback."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from faultserver import FaultServer, Reply
from servers import KEY

from celeryctl.datasets import addresses, credit_cards
from celeryctl.errors import DatabaseUnreachableError, RefusedError, SourceError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.pipeline.engine import Pipeline
from celeryctl.storage import batches, plan, runs, totals
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import Batch, Miss, Run
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.rows import Rows
from celeryctl.storage.user import User

from .kit import PLACE, add_users, by_size, fetch, ledger_text, listing, missed, people, person, stored

ROW = dict.fromkeys(("street_number", "street_name", "city", "state", "country", "postal_code"), "x")
pytestmark = pytest.mark.integration

Make = Callable[..., Pipeline]
CARD = {"credit_card_number": CARD_NUMBERS[0], "credit_card_type": "visa", "credit_card_expiry_date": "2030-01-31"}
SMALL = replace(addresses.DATASET, source=replace(addresses.DATASET.source, page_size=2))


def pass_time(seconds: int) -> None:
    with session():
        database.execute_sql("UPDATE batches SET due = due - %s * interval '1 second'", (seconds,))


def updated_at() -> list[datetime]:
    with session():
        return [user.updated_at for user in User.select().order_by(User.id)]


def test_a_bad_record_never_stops_its_batch(make: Make, server: FaultServer) -> None:
    page = [person(1), person(2, email="", username=None), {"id": "x"}, person(4, name="a\0b"), person(5)]
    server.answer("/users", Reply.json(page))
    run = fetch(make())
    assert (run.status, run.created, run.rejected, run.error) == ("partial", 2, 3, None)
    assert stored() == [1, 5]
    assert missed()["2"] == ["username is missing or empty", "email is missing or empty"]
    assert missed()["4"] == ["name holds a NUL character"]
    assert len(missed()["page 1, record 3"]) == 5


def test_a_record_that_is_mended_is_no_longer_missed(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json([person(1, name=None)]))
    pipeline = make()
    assert fetch(pipeline).status == "partial"
    server.answer("/users", Reply.json([person(1)]))
    assert fetch(pipeline).status == "succeeded"
    assert missed() == {}


def test_odd_names_are_stored_as_they_came(make: Make, server: FaultServer) -> None:
    names = ["\\", "a\tb", "\\N", "a\nb\r", "\\.", "Ünïcødé 😀", "'; DROP TABLE users; --", "\x01\x7f\v\f\b"]
    server.answer("/users", Reply.json([person(n, name=name) for n, name in enumerate(names)]))
    assert fetch(make()).status == "succeeded"
    with session():
        assert [user.name for user in User.select().order_by(User.external_id)] == names


def test_of_the_same_id_twice_in_a_page_the_last_one_counts(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json([person(1), person(2), person(1, name="later")]))
    run = fetch(make())
    assert (run.status, run.created) == ("succeeded", 2)
    with session():
        assert User.get(User.external_id == 1).name == "later"


@pytest.mark.parametrize("number", [0, 2**31, 2**63 - 1])
def test_ids_beyond_32_bits_are_stored(make: Make, server: FaultServer, number: int) -> None:
    server.answer("/users", Reply.json([person(number)]))
    assert fetch(make()).created == 1
    assert stored() == [number]


def test_a_second_run_changes_nothing(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json(people(1, 5)))
    pipeline = make()
    fetch(pipeline)
    before = updated_at()
    server.answer("/users", Reply.json([*people(1, 4), person(5, phone="new")]))
    run = fetch(pipeline)
    assert (run.created, run.updated, run.unchanged) == (0, 1, 4)
    assert [old == new for old, new in zip(before, updated_at(), strict=True)] == [True] * 4 + [False]


def test_users_that_vanish_at_the_source_stay(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json(people(1, 5)))
    fetch(make())
    server.answer("/users", Reply.json(people(1, 2)))
    fetch(make())
    assert stored() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("outcome", "reply"), [("invalid", Reply(200, b'[{"id": 1},]')), ("http_error", Reply.text("no", status=403))]
)
def test_only_the_answer_that_is_of_no_use_does_not_count_as_a_good_one(
    make: Make, server: FaultServer, outcome: str, reply: Reply
) -> None:
    server.answer("/users", Reply.json(people(1, 3)), Reply.json(people(4, 6)), reply)
    run = fetch(make(listing(page="_page", size="_limit", page_size=3)))
    assert (run.error_exit, run.requests) == (1, 3)
    with session():
        counts = totals.read()["users"].counts("requests", totals.REQUESTS)
    assert {name: count for name, count in counts.items() if count} == {"ok": 2, outcome: 1}


@pytest.mark.parametrize("down", [Reply(503), Reply.text("Retry later"), Reply.close()])
def test_a_source_that_is_down_fails_the_run_and_the_next_one_plans_again(
    make: Make, server: FaultServer, down: Reply
) -> None:
    add_users(5)
    server.answer("/addresses", down)
    pipeline = make(SMALL, HTTP_MAX_TRIES="2", HTTP_TOTAL_TIMEOUT="5s")
    run = fetch(pipeline, "addresses", limit=2)
    assert (run.status, run.error_exit, run.created) == ("failed", 69, 0)
    assert run.retries == 1
    with session():
        assert not Batch.select().exists()
        assert not Miss.select().exists()
    server.answer("/addresses", by_size(PLACE))
    assert fetch(pipeline, "addresses").created == 5


def test_an_error_in_the_middle_keeps_what_is_stored(make: Make, server: FaultServer) -> None:
    add_users(6)
    two = Reply.json([PLACE, PLACE])
    server.answer("/addresses", two, two, Reply(500))
    run = fetch(make(SMALL, BATCH_SIZE="2"), "addresses")
    assert (run.status, run.error_exit, run.created) == ("partial", 69, 4)
    server.answer("/addresses", two)
    run = fetch(make(SMALL, BATCH_SIZE="2"), "addresses")
    assert (run.status, run.created) == ("succeeded", 2)


def killer(pipeline: list[Pipeline], bad: int) -> Callable[..., Outcome]:
    """A source during whose work the worker dies as soon as one of the users is ``bad``."""

    def bring(dataset: Any, claim: batches.Claim, *_: object) -> Outcome:
        with session():
            users = plan.wanting(claim.run, pipeline[0].works[claim.run.dataset], claim.lo, claim.hi)
        if any(user_id == bad for user_id, _ in users):
            raise KeyboardInterrupt
        return Outcome(Rows(dataset.model, dataset.key, [{"user": user_id, **ROW} for user_id, _ in users]))

    return bring


def test_a_batch_whose_holder_died_twice_is_split_until_the_poison_is_alone(make: Make) -> None:
    add_users(8)
    made: list[Pipeline] = []
    pipeline = make(fetch=killer(made, bad=6))
    made.append(pipeline)
    opened = pipeline.open(runs.Order(dataset="addresses", trigger="test"))
    for _ in range(60):
        try:
            run = pipeline.drain(opened.run.id, lambda run: pass_time(10))
            break
        except KeyboardInterrupt:
            pass_time(10)
    assert (run.status, run.created, run.rejected) == ("partial", 7, 1)
    assert list(missed("addresses")) == ["6"]
    assert "its worker died" in missed("addresses")["6"][0]
    with session():
        assert Miss.get().next_try is None
    again = fetch(pipeline, "addresses")
    assert (again.status, again.created) == ("succeeded", 0)


def test_a_record_that_the_database_refuses_is_found_by_splitting(make: Make, server: FaultServer) -> None:
    add_users(8)
    server.answer("/addresses", by_size(PLACE))
    pipeline = make(MAX_ATTEMPTS="3")
    with session():
        database.execute_sql("ALTER TABLE addresses ADD CONSTRAINT test_taste CHECK (user_id <> 3)")
    try:
        run = fetch(pipeline, "addresses")
    finally:
        with session():
            database.execute_sql("ALTER TABLE addresses DROP CONSTRAINT test_taste")
    assert (run.status, run.created, run.rejected) == ("partial", 7, 1)
    assert list(missed("addresses")) == ["3"]
    assert "the database refused it" in missed("addresses")["3"][0]


def test_a_page_that_the_database_refuses_is_set_aside_and_the_run_ends(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json(people(1, 3)))
    with session():
        database.execute_sql("ALTER TABLE users ADD CONSTRAINT test_taste CHECK (external_id <> 3)")
    try:
        run = fetch(make(MAX_ATTEMPTS="2"))
    finally:
        with session():
            database.execute_sql("ALTER TABLE users DROP CONSTRAINT test_taste")
    assert run.status == "partial"
    assert list(missed()) == ["page 1"]


def test_a_lost_lease_writes_nothing(make: Make) -> None:
    def frozen(dataset: Any, claim: batches.Claim, *_: object) -> Outcome:
        pass_time(10)
        assert batches.claim(claim.id) is not None
        return Outcome(Rows(addresses.Address, ("user",), [{"user": 1, **ROW}]))

    add_users(1)
    pipeline = make(fetch=frozen)
    opened = pipeline.open(runs.Order(dataset="addresses", trigger="test"))
    assert pipeline.work(batches.claim(opened.batches[0])) == []
    with session():
        assert not addresses.Address.select().exists()
        assert Run.get_by_id(opened.run.id).created == 0
        assert Batch.get().attempts == 2


def test_a_database_that_went_away_costs_no_attempt(make: Make) -> None:
    def away(*_: object) -> Outcome:
        raise DatabaseUnreachableError

    add_users(1)
    pipeline = make(fetch=away)
    opened = pipeline.open(runs.Order(dataset="addresses", trigger="test"))
    with pytest.raises(DatabaseUnreachableError):
        pipeline.work(batches.claim(opened.batches[0]))
    with session():
        assert (Batch.get().attempts, Batch.get().token) == (0, None)


@pytest.mark.parametrize("error", [SourceError("it lies"), RefusedError("no")])
def test_errors_of_a_batch_never_leave_the_pipeline(make: Make, error: Exception) -> None:
    def wrong(*_: object) -> Outcome:
        raise error

    add_users(1)
    assert fetch(make(fetch=wrong), "addresses").status in ("failed", "partial")


def test_what_is_there_is_not_fetched_again_unless_it_is_asked_for(make: Make, server: FaultServer) -> None:
    add_users(3)
    server.answer("/addresses", by_size(PLACE))
    pipeline = make()
    assert fetch(pipeline, "addresses").created == 3
    assert fetch(pipeline, "addresses").requests == 0
    server.answer("/addresses", by_size({**PLACE, "city": "new"}))
    run = fetch(pipeline, "addresses", refresh=True)
    assert (run.created, run.updated, run.unchanged) == (0, 3, 0)


def test_a_limit_counts_records(make: Make, server: FaultServer) -> None:
    add_users(9)
    server.answer("/addresses", by_size(PLACE))
    run = fetch(make(SMALL, BATCH_SIZE="4"), "addresses", limit=5)
    assert (run.status, run.created, run.expected) == ("succeeded", 5, 5)


def test_what_is_older_than_its_age_is_fetched_again(make: Make, server: FaultServer) -> None:
    add_users(3)
    server.answer("/addresses", by_size(PLACE))
    pipeline = make(ADDRESSES_MAX_AGE="1h")
    fetch(pipeline, "addresses")
    with session():
        old = addresses.Address.update(fetched_at=datetime.now().astimezone() - timedelta(hours=2))
        old.where(addresses.Address.user == 2).execute()
    run = fetch(pipeline, "addresses")
    assert (run.created, run.updated, run.unchanged) == (0, 0, 1)
    assert fetch(pipeline, "addresses").requests == 0


def test_card_numbers_stand_encrypted_in_their_table_and_nowhere_else(make: Make, server: FaultServer) -> None:
    add_users(3)
    bad = {**CARD, "credit_card_type": None, "credit_card_expiry_date": CARD_NUMBERS[1] + "\0"}
    server.answer("/credit_cards", by_size(CARD, bad, {**CARD, "credit_card_type": [CARD_NUMBERS[2]]}))
    run = fetch(make(), "credit_cards")
    assert (run.created, run.rejected) == (1, 2)
    server.answer("/credit_cards", Reply.text(f"no card {CARD_NUMBERS[0]} today", status=403))
    assert fetch(make(), "credit_cards", refresh=True).status == "failed"
    with session():
        sealed = credit_cards.CreditCard.get().card_number
    assert not [number for number in CARD_NUMBERS if number in ledger_text() + sealed]
    assert Keyring([KEY]).open(sealed, "credit_cards|1") == CARD_NUMBERS[0]


def test_the_children_follow_their_parent(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json(people(1, 4)))
    server.answer("/addresses", by_size(PLACE))
    pipeline = make()
    run = fetch(pipeline, followers=("addresses",))
    with session():
        following = runs.successor(run, "addresses")
    assert following.parent_id == run.id
    assert pipeline.drain(following.id, lambda _: None).created == 4


def test_several_workers_share_a_run(make: Make, server: FaultServer) -> None:
    add_users(20)
    server.answer("/addresses", by_size(PLACE))
    pipeline = make(SMALL, BATCH_SIZE="2", FETCH_THREADS="1")
    opened = pipeline.open(runs.Order(dataset="addresses", trigger="test"))
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda _: pipeline.drain(opened.run.id, lambda _: None), range(3)))
    assert {run.status for run in ended} == {"succeeded"}
    assert (ended[0].created, ended[0].requests) == (20, 10)


def test_a_listing_of_another_kind_is_stored_alike(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json({"users": people(1, 3)}))
    assert fetch(make(listing(cursor="after", items="users"))).created == 3
