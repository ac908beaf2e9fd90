"""What a person asks for becomes orders, and the runs that come of them."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from faultserver import FaultServer, Reply

from celeryctl import datasets
from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.pipeline import orders
from celeryctl.pipeline.engine import Pipeline
from celeryctl.storage import coverage, runs
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

from .kit import PLACE, add_users, by_size, fetch, people

Make = Callable[..., Pipeline]


def ended(status: str, error_exit: int | None = None) -> Run:
    return Run(id=uuid.uuid4(), status=status, error_exit=error_exit)


def intend(pipeline: Pipeline, dataset: str, **more: int) -> list[orders.Intent]:
    wanted = orders.order(pipeline.datasets, dataset, trigger="command", **more)
    return orders.intend(pipeline.settings, pipeline.datasets, wanted)


@pytest.mark.unit
def test_all_is_the_parents_first_and_the_others_after_them() -> None:
    order = orders.order(datasets.load(), "all", trigger="command", limit=3, refresh=True)
    assert (order.dataset, order.followers) == ("users", ("addresses", "credit_cards"))
    assert (order.limit, order.refresh) == (3, True)


@pytest.mark.unit
@pytest.mark.parametrize("name", ["credit-cards", "credit_cards"])
def test_a_data_set_is_known_by_both_spellings(name: str) -> None:
    order = orders.order(datasets.load(), name, trigger="command")
    assert (order.dataset, order.followers) == ("credit_cards", ())


@pytest.mark.unit
@pytest.mark.parametrize("name", ["", "user", "loyalty", "ALL", "credit--cards"])
def test_an_unknown_data_set_is_told_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        orders.order(datasets.load(), name, trigger="command")
    assert repr(name) in caught.value.what
    assert caught.value.why == "there are: users, addresses, credit-cards, all"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([ended("succeeded")], 0),
        ([ended("succeeded"), ended("partial")], 3),
        ([ended("partial", 69)], 3),
        ([ended("failed", 69), ended("partial")], 69),
        ([ended("failed"), ended("succeeded")], 1),
        ([ended("failed", 1), ended("failed", 69)], 69),
        ([ended("cancelled"), ended("partial")], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst(given: list[Run], code: int) -> None:
    assert orders.exit_code(given) == code


@pytest.mark.integration
def test_a_run_that_is_under_way_is_joined(make: Make) -> None:
    add_users(1)
    pipeline = make()
    order = orders.order(pipeline.datasets, "addresses", trigger="command")
    first, second = orders.place(pipeline, order), orders.place(pipeline, order)
    assert (second.run.id, second.joined, second.batches) == (first.run.id, True, [])


@pytest.mark.integration
@pytest.mark.parametrize("more", [{"refresh": True}, {"limit": 5}])
def test_a_run_that_was_asked_for_differently_is_not_joined(make: Make, more: dict[str, int]) -> None:
    add_users(1)
    pipeline = make()
    first = orders.place(pipeline, orders.order(pipeline.datasets, "addresses", trigger="command"))
    with pytest.raises(CeleryctlError) as caught:
        orders.place(pipeline, orders.order(pipeline.datasets, "addresses", trigger="command", **more))
    assert caught.value.exit_code == 1
    assert str(first.run.id)[:8] in caught.value.why


@pytest.mark.integration
def test_a_slot_has_one_run(make: Make) -> None:
    pipeline = make()
    with session():
        slot = coverage.clock()
    scheduled = runs.Order(dataset="addresses", trigger="schedule", slot=slot)
    assert orders.begin(pipeline, scheduled).run.status == "succeeded"
    with pytest.raises(CeleryctlError, match="had its run"):
        orders.begin(pipeline, scheduled)


@pytest.mark.integration
def test_the_children_are_seen_through_after_their_parent(make: Make, server: FaultServer) -> None:
    server.answer("/users", Reply.json(people(1, 3)))
    server.answer("/addresses", by_size(PLACE))
    server.answer("/credit_cards", Reply(500))
    pipeline = make()
    order = orders.order(pipeline.datasets, "all", trigger="command")
    opened = orders.place(pipeline, order)
    done = orders.see_through(opened.run.id, order.followers, lambda run: pipeline.drain(run, lambda _: None))
    assert [(run.dataset, run.status, run.created) for run in done] == [
        ("users", "succeeded", 3),
        ("addresses", "succeeded", 3),
        ("credit_cards", "failed", 0),
    ]
    assert orders.exit_code(done) == 69


@pytest.mark.integration
@pytest.mark.parametrize(
    ("asked", "fix"),
    [({"refresh": True}, "celeryctl fetch addresses --refresh"), ({"limit": 2}, "celeryctl fetch addresses --limit 2")],
)
def test_a_child_that_was_under_way_and_does_something_else_is_told(
    make: Make, server: FaultServer, asked: dict[str, Any], fix: str
) -> None:
    server.answer("/users", Reply.json(people(1, 2)), Reply.json([]))
    server.answer("/addresses", by_size(PLACE))
    pipeline = make()
    add_users(1)
    scheduled = orders.begin(pipeline, runs.Order(dataset="addresses", trigger="schedule"))
    order = runs.Order(dataset="users", trigger="command", followers=("addresses",), **asked)
    opened = orders.begin(pipeline, order)
    done = orders.see_through(opened.run.id, order.followers, lambda run: pipeline.drain(run, lambda _: None))
    assert [run.id for run in done] == [opened.run.id, scheduled.run.id]
    with pytest.raises(CeleryctlError, match="addresses was being fetched already, in another way") as caught:
        orders.verdict(done)
    assert (caught.value.exit_code, caught.value.fix) == (1, fix)


@pytest.mark.integration
def test_nothing_follows_a_run_that_was_cancelled(make: Make) -> None:
    pipeline = make()
    order = orders.order(pipeline.datasets, "all", trigger="command")
    opened = orders.place(pipeline, order)

    def cancel(run_id: uuid.UUID) -> Run:
        assert runs.cancel(run_id)
        return pipeline.drain(run_id, lambda _: None)

    assert [run.status for run in orders.see_through(opened.run.id, order.followers, cancel)] == ["cancelled"]


@pytest.mark.integration
def test_an_intent_counts_what_would_be_asked_for_and_asks_nobody(make: Make, server: FaultServer) -> None:
    add_users(250)
    pipeline = make()
    intents = orders.intend(
        pipeline.settings, pipeline.datasets, orders.order(pipeline.datasets, "all", trigger="command")
    )
    assert [(one.dataset, one.records, one.requests) for one in intents] == [
        ("users", None, None),
        ("addresses", 250, 3),
        ("credit_cards", 250, 3),
    ]
    assert intents[1].url == server.url + "/addresses"
    limited = orders.intend(
        pipeline.settings, pipeline.datasets, orders.order(pipeline.datasets, "users", trigger="command", limit=7)
    )
    assert (limited[0].records, limited[0].requests) == (7, 1)
    assert not server.requests
    assert fetch(pipeline, "credit_cards", limit=1).status == "failed"
