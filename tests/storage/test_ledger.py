"""Runs: opened once, joined, planned by window, closed with their followers, cancelled, found again."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from celeryctl.errors import SourceUnreachableError
from celeryctl.storage import batches, plan, runs
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.reconciliation import reconcile

from .ledgerkit import WORKS, drain, finish, open_batches, order, overdue, people, reload, running_ids, sql, take

pytestmark = pytest.mark.integration
SLOT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def test_a_run_opens_with_its_first_batches_and_knows_how_much_there_is_to_do() -> None:
    ids = people(8)
    opened = order()
    assert not opened.joined
    assert len(opened.batches) == plan.AT_ONCE == 2
    assert open_batches() == [(ids[0], ids[2]), (ids[3], ids[5])]
    assert (opened.run.status, opened.run.expected, opened.run.planned) == ("running", 8, 6)


def test_a_run_with_nothing_to_do_is_closed_at_once() -> None:
    opened = order()
    assert (opened.run.status, opened.run.expected, opened.batches) == ("succeeded", 0, [])
    assert opened.run.finished_at is not None


def test_a_second_order_joins_the_run_under_way_and_adds_its_followers() -> None:
    people(1)
    first, second = order("users"), order("users", followers=("addresses",))
    assert second.joined
    assert second.run.id == first.run.id
    assert reload(first.run).followers == ["addresses"]
    order("users", followers=("addresses",))
    assert reload(first.run).followers == ["addresses"]


def test_a_slot_has_one_run() -> None:
    assert order(slot=SLOT).run.status == "succeeded"
    assert runs.open_run(runs.Order(dataset="addresses", trigger="beat", slot=SLOT), WORKS) is None
    assert order("users", slot=SLOT).run.dataset == "users"


def test_of_many_orders_at_once_one_opens_and_the_others_join() -> None:
    people(10)
    opened: list[runs.Opened] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait(30)
        opened.append(order())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.joined for one in opened].count(False) == 1
    assert len({one.run.id for one in opened}) == 1
    assert len(open_batches()) == plan.AT_ONCE


def test_a_window_of_batches_is_planned_and_refilled_as_they_are_finished() -> None:
    ids = people(3 * plan.WINDOW + 5)
    opened = order()
    assert len(opened.batches) == plan.AT_ONCE
    following = finish(take(opened.batches[0])) or []
    assert take(following[0]).lo == ids[3 * plan.AT_ONCE]
    assert len(following) == plan.AT_ONCE
    assert len(finish(take(opened.batches[1])) or []) == 2
    assert len(open_batches()) == plan.WINDOW
    run = drain(opened)
    assert run.status == "running"
    overdue()
    assert drain(opened).status == "succeeded"
    assert sql("SELECT count(*) FROM addresses") == [(len(ids),)]


def test_users_that_have_a_fresh_row_are_not_planned() -> None:
    ids = people(6)
    drain(order(limit=2))
    drain(order())
    sql("DELETE FROM addresses WHERE user_id IN (%s, %s)", ids[1], ids[4])
    opened = order()
    assert open_batches() == [(ids[1], ids[4])]
    assert opened.run.expected == 2
    assert drain(opened).created == 2


def test_a_limit_counts_records_over_several_batches() -> None:
    people(20)
    opened = order(limit=7)
    assert (opened.run.expected, len(opened.batches)) == (7, plan.AT_ONCE)
    run = drain(opened)
    assert (run.status, run.created, run.planned) == ("succeeded", 7, 7)


def test_a_limit_of_nothing_asks_for_nothing() -> None:
    people(2)
    assert (order(limit=0).run.status, order("users", limit=0).run.status) == ("succeeded", "succeeded")


def test_a_limit_of_a_listing_caps_its_pages() -> None:
    opened = order("users", limit=5)
    assert open_batches() == [(1, 1)]
    finish(take(opened.batches[0]), bound=50)
    assert open_batches() == [(2, 3)]


def test_refresh_asks_for_every_row_again_and_once() -> None:
    people(5)
    drain(order())
    run = drain(order(refresh=True))
    assert (run.expected, run.created, run.unchanged) == (5, 0, 5)
    assert order().run.expected == 0


def test_rows_older_than_their_age_are_stale() -> None:
    aging = {**WORKS, "addresses": replace(WORKS["addresses"], max_age=timedelta(hours=1))}
    ids = people(3)
    drain(order())
    sql("UPDATE addresses SET fetched_at = now() - interval '61 minutes' WHERE user_id = %s", ids[1])
    sql("UPDATE addresses SET fetched_at = now() - interval '59 minutes' WHERE user_id = %s", ids[2])
    opened = order(works=aging)
    assert open_batches() == [(ids[1], ids[1])]
    assert drain(opened).unchanged == 1
    assert order(works=aging).run.expected == 0


def test_a_listing_is_planned_batch_by_batch_until_its_end_is_known() -> None:
    opened = order("users")
    assert open_batches() == [(1, 1)]  # the first page alone: it may tell how many there are
    finish(take(opened.batches[0]))
    assert open_batches() == [(2, 3)]
    with session():
        second = batches.claim_next(opened.run.id)
    assert second is not None
    finish(second, bound=8)
    assert open_batches() == [(4, 5), (6, 7)]


def test_a_listing_that_ends_in_a_batch_ends_its_run() -> None:
    opened = order("users")
    finish(take(opened.batches[0]), ended=True)
    assert reload(opened.run).status == "succeeded"


def test_followers_open_in_the_transaction_that_closes_their_parent() -> None:
    people(4)
    opened = order("users", followers=("addresses",))
    announced = finish(take(opened.batches[0]), ended=True)
    assert len(announced or []) == 2
    with session():
        child = Run.get(Run.dataset == "addresses")
    parent = reload(opened.run)
    assert (child.parent_id, child.status, child.trigger) == (parent.id, "running", "test")
    assert child.started_at == parent.finished_at


def test_followers_open_even_when_their_parent_failed() -> None:
    people(1)
    opened = order("users", followers=("addresses",))
    batches.fail(take(opened.batches[0]), WORKS, Outcome(), SourceUnreachableError("down"))
    assert reload(opened.run).status == "failed"
    assert running_ids() == ["addresses"]


def test_a_follower_that_runs_already_is_joined() -> None:
    people(1)
    child = order()
    opened = order("users", followers=("addresses",))
    assert finish(take(opened.batches[0]), ended=True) == []
    assert running_ids() == ["addresses"]
    with session():
        assert runs.successor(reload(opened.run), "addresses") == child.run


def test_the_successor_is_the_run_that_followed_and_not_a_later_one() -> None:
    people(1)
    opened = order("users", followers=("addresses",))
    finish(take(opened.batches[0]), ended=True)
    with session():
        child = Run.get(Run.dataset == "addresses")
    drain(runs.Opened(child))
    people(1)
    later = order()
    assert later.run.id != child.id
    with session():
        assert runs.successor(reload(opened.run), "addresses") == child


def test_a_run_that_ended_before_its_parent_is_no_successor() -> None:
    order()
    opened = order("users")
    finish(take(opened.batches[0]), ended=True)
    with session():
        assert runs.successor(reload(opened.run), "addresses") is None


def test_a_rejected_record_makes_a_run_partial_and_an_absent_one_does_not() -> None:
    ids = people(3)
    opened = order()
    run = drain(opened, Missed(str(ids[0]), "none"))
    assert (run.status, run.absent, run.created) == ("succeeded", 1, 2)
    ids = people(2)
    run = drain(order(), Missed(str(ids[0]), "rejected", ("city is missing",)))
    assert (run.status, run.rejected, run.created) == ("partial", 1, 1)


def test_a_cancelled_run_ends_at_once_and_its_followers_do_not_open() -> None:
    people(7)
    opened = order("users", followers=("addresses",))
    assert runs.cancel(opened.run.id)
    assert reload(opened.run).status == "cancelled"
    assert open_batches() == []
    assert running_ids() == []
    assert not runs.cancel(opened.run.id)


def test_what_is_held_while_its_run_is_cancelled_is_gone_and_a_new_run_begins() -> None:
    people(7)
    opened = order()
    held = take(opened.batches[0])
    runs.cancel(opened.run.id)
    assert not batches.renew(held)
    assert finish(held) is None
    assert sql("SELECT count(*) FROM addresses") == [(0,)]
    assert drain(order()).created == 7
    assert reload(opened.run).created == 0


def test_a_batch_in_the_middle_of_its_finish_survives_the_cancelling_and_is_counted() -> None:
    people(3)
    opened = order()
    held = take(opened.batches[0])
    sql("UPDATE runs SET status = 'cancelled', finished_at = now() WHERE id = %s", str(opened.run.id))
    assert finish(held) == []
    run = reload(opened.run)
    assert (run.status, run.created) == ("cancelled", 3)


def test_batches_left_over_by_a_cancelled_run_are_swept() -> None:
    people(3)
    opened = order()
    sql("UPDATE runs SET status = 'cancelled' WHERE id = %s", str(opened.run.id))
    assert batches.claim(opened.batches[0]) is None
    overdue()
    assert reconcile(lambda _: pytest.fail("announced"), lambda: 0) == 0
    assert open_batches() == []
