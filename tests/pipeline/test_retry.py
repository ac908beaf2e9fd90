"""Failures that are tried again: from what was kept of them, and from their sources."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from faultserver import FaultServer, Reply

from celeryctl.datasets import addresses, users
from celeryctl.errors import CeleryctlError, DatasetError, UsageError
from celeryctl.pipeline import orders
from celeryctl.pipeline import retry as retrying
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.retry import Retried, chosen, retry
from celeryctl.storage import failures, totals
from celeryctl.storage.database import connect_once, database, session
from celeryctl.storage.ledger import Miss

from .kit import PLACE, add_users, by_size, fetch, missed, person, stored

pytestmark = pytest.mark.integration
Make = Callable[..., Pipeline]


def lenient(record: Any) -> dict[str, Any]:
    """Takes what the built-in data set rejects."""
    return {**users.DATASET.to_row(record), "email": record.email or "unknown"}


LENIENT = replace(users.DATASET, to_row=lenient)


def every(pipeline: Pipeline) -> dict[str, list[str]]:
    return chosen(pipeline.datasets, [], everything=True)


@pytest.fixture
def rejecting(make: Make, server: FaultServer) -> FaultServer:
    """Three users, of whom two have no e-mail address, fetched."""
    page = [person(1), person(2, email=""), person(3, email="")]
    server.answer("/users", Reply.json(page))
    assert fetch(make()).status == "partial"
    assert sorted(missed()) == ["2", "3"]
    return server


def test_what_is_good_by_now_is_stored_without_asking(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json([person(1), person(2, email="")]))
    fetch(make())
    asked = len(server.requests)
    assert retry(make(LENIENT), {"users": ["2"]}, ask=True) == Retried(stored=1)
    assert (stored(), missed(), len(server.requests)) == ([1, 2], {}, asked)
    with session():
        counted = totals.read()["users"].counts("rows", totals.ROWS)
    assert counted == {"created": 2, "updated": 0, "unchanged": 0, "rejected": 1}


def test_what_no_text_of_the_database_can_hold_is_kept_and_asked_for_again(make: Make, server: FaultServer) -> None:
    names = {"2": "a\0b", "page 1, record 2": "a\ud800b"}
    server.answer("/users", Reply.json([person(n, name=name) for n, name in enumerate(names.values(), 2)]))
    pipeline = make()
    fetch(pipeline)
    with session():
        assert {miss.key: miss.payload["name"] for miss in Miss.select()} == names
    assert retry(pipeline, every(pipeline), ask=False) == Retried(asked={"users": 2})


def test_what_is_still_bad_is_asked_for_by_a_run_as_if_for_the_first_time(make: Make, rejecting: FaultServer) -> None:
    with session():
        Miss.update(attempts=5, next_try=None).execute()
    pipeline = make()
    done = retry(pipeline, every(pipeline), ask=True)
    assert (done.stored, done.asked, [run.dataset for run in done.runs]) == (0, {"users": 2}, ["users"])
    rejecting.answer("/users", Reply.json([person(1), person(2), person(3, email="")]))
    assert pipeline.drain(done.runs[0].id, lambda _: None).created == 1
    with session():
        assert [(miss.key, miss.attempts) for miss in Miss.select()] == [("3", 1)]


def test_a_user_whose_record_was_given_up_is_asked_for_again(make: Make, server: FaultServer) -> None:
    add_users(2)
    server.answer("/addresses", by_size({**PLACE, "city": None}))
    pipeline = make(MAX_ATTEMPTS="1")
    assert fetch(pipeline, "addresses").rejected == 2
    server.answer("/addresses", by_size(PLACE))
    assert fetch(pipeline, "addresses").created == 0
    done = retry(pipeline, {"addresses": ["1"]}, ask=True)
    assert pipeline.drain(done.runs[0].id, lambda _: None).created == 1
    assert list(missed("addresses")) == ["2"]


def test_a_record_of_a_user_is_stored_as_that_users(make: Make, server: FaultServer) -> None:
    add_users(2)
    server.answer("/addresses", by_size({**PLACE, "city": None}))
    fetch(make(), "addresses")

    def to_row(record: Any) -> dict[str, Any]:
        return {**addresses.DATASET.to_row(record), "city": record.city or "unknown"}

    assert retry(make(replace(addresses.DATASET, to_row=to_row)), {"addresses": ["2"]}, ask=False).stored == 1
    with session():
        assert [row.user_id for row in addresses.Address.select()] == [2]


def test_a_record_that_the_database_refuses_is_asked_for_again(make: Make, rejecting: FaultServer) -> None:
    with session():
        database.execute_sql("ALTER TABLE users ADD CONSTRAINT picky CHECK (email <> 'unknown')")
    try:
        done = retry(make(LENIENT), {"users": ["2", "3"]}, ask=False)
    finally:
        with session():
            database.execute_sql("ALTER TABLE users DROP CONSTRAINT picky")
    assert (done.stored, done.asked, stored(), sorted(missed())) == (0, {"users": 2}, [1], ["2", "3"])


def test_code_that_is_at_fault_changes_nothing(make: Make, rejecting: FaultServer) -> None:
    with session():
        before = [(miss.key, miss.attempts, miss.next_try) for miss in Miss.select().order_by(Miss.key)]
    broken = replace(users.DATASET, to_row=lambda record: {**lenient(record), "colour": "red"})
    with pytest.raises(DatasetError, match="columns that the model lacks"):
        retry(make(broken), {"users": ["2", "3"]}, ask=True)
    with session():
        assert [(miss.key, miss.attempts, miss.next_try) for miss in Miss.select().order_by(Miss.key)] == before


def test_what_came_meanwhile_is_left_alone(make: Make, rejecting: FaultServer) -> None:
    with session():
        Miss.delete().where(Miss.key == "2").execute()
    assert retry(make(LENIENT), {"users": ["2"]}, ask=True) == Retried()
    assert stored() == [1]


def test_what_was_tried_meanwhile_is_newer_than_what_was_kept(
    make: Make, rejecting: FaultServer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = retrying._store

    def tried_meanwhile(*arguments: Any) -> list[failures.Kept]:
        stored = store(*arguments)
        with closing(connect_once(database_url)) as other, other.cursor() as cursor:
            cursor.execute("UPDATE misses SET tried_at = now() + interval '1 second' WHERE key = '2'")
        return stored

    monkeypatch.setattr(retrying, "_store", tried_meanwhile)
    assert retry(make(LENIENT), {"users": ["2", "3"]}, ask=False) == Retried(stored=1, asked={"users": 1})
    assert (stored(), sorted(missed())) == ([1, 3], ["2"])


def test_what_is_known_by_its_place_alone_is_asked_for(make: Make, rejecting: FaultServer) -> None:
    with session():
        Miss.update(key="page 1, record 2").where(Miss.key == "2").execute()
    assert retry(make(LENIENT), {"users": ["page 1, record 2"]}, ask=False) == Retried(asked={"users": 1})
    assert stored() == [1]


def test_a_run_that_is_under_way_is_joined(make: Make, rejecting: FaultServer) -> None:
    pipeline = make()
    under_way = orders.begin(pipeline, orders.order(pipeline.datasets, "users", trigger="test")).run
    done = retry(pipeline, {"users": ["2"]}, ask=True)
    assert [run.id for run in done.joined] == [run.id for run in done.runs] == [under_way.id]


def test_more_than_one_transaction_holds_are_all_tried(make: Make, server: FaultServer,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("celeryctl.pipeline.retry.CHUNK", 2)
    server.answer("/users", Reply.json([person(n, email="") for n in range(5)]))
    fetch(make())
    pipeline = make(LENIENT)
    assert retry(pipeline, every(pipeline), ask=True).stored == 5
    assert stored() == [0, 1, 2, 3, 4]


def test_they_are_chosen_by_id_by_data_set_or_all(make: Make, rejecting: FaultServer) -> None:
    found = make().datasets
    assert chosen(found, ["users/3", "users/2", "users/3"], everything=False) == {"users": ["3", "2", "3"]}
    assert chosen(found, ["users"], everything=True) == {"users": ["2", "3"]}
    assert chosen(found, ["all"], everything=True) == {"users": ["2", "3"], "addresses": [], "credit_cards": []}


@pytest.mark.parametrize(("words", "everything", "told"), [
    ([], False, "ids, or --all"),
    (["users"], False, "ids, or --all"),
    (["users/2"], True, "ids, or --all"),
    (["nobody/2"], False, "no data set 'nobody'"),
    (["nobody"], True, "no data set 'nobody'"),
    (["all/2"], False, "no data set 'all'"),
    (["users/2", "x"], False, "no data set 'x'"),
    (["/2"], False, "no data set ''"),
])  # fmt: skip
def test_what_names_no_failure_is_wrong_usage(
    make: Make, database_url: str, words: list[str], everything: bool, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        chosen(make().datasets, words, everything=everything)


@pytest.mark.parametrize("word", ["users/9", "users/", "users/2/2", "credit-cards/2", "users/2'; --"])
def test_an_id_of_no_failure_is_refused(make: Make, rejecting: FaultServer, word: str) -> None:
    with pytest.raises(CeleryctlError, match="there is no failure"):
        chosen(make().datasets, ["users/2", word], everything=False)


def test_the_newest_are_listed_first_and_all_are_counted(make: Make, rejecting: FaultServer) -> None:
    with session():
        Miss.insert(dataset="users", key="9", outcome="none", reasons=[]).execute()
        Miss.insert(dataset="users", key="page 1", outcome="failed", reasons=["its worker died"]).execute()
    found, count = failures.newest(2)
    assert ([one.id for one in found], count) == (["users/page 1", "users/2"], 3)
    assert failures.newest(2, dataset="addresses") == ([], 0)
