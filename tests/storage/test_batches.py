"""Batches: claimed by one, fenced, renewed, given up, split, put back, announced again."""

import threading
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from waiting import eventually

from celeryctl.errors import RefusedError, SourceError, SourceUnreachableError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.storage import batches, outcomes, plan
from celeryctl.storage.database import connect_once, database, session, transaction
from celeryctl.storage.ledger import Batch
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome
from celeryctl.storage.reconciliation import reconcile

from .ledgerkit import PLACE, WORKS, drain, finish, open_batches, order, overdue, people, reload, sql, take

pytestmark = pytest.mark.integration
BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def give_up(claim: batches.Claim) -> list[int]:
    return batches.fail(claim, WORKS, Outcome(requests=2, retries=1), SourceUnreachableError("down"))


def test_of_many_claims_at_once_one_succeeds() -> None:
    people(3)
    (batch_id,) = order().batches
    got: list[batches.Claim | None] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait(30)
        got.append(batches.claim(batch_id))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in got if one]) == 1


def test_a_batch_in_hands_is_not_given_again_until_its_lease_ends() -> None:
    people(3)
    (batch_id,) = order().batches
    first = take(batch_id)
    assert batches.claim(batch_id) is None
    assert batches.claim_next(first.run.id) is None
    overdue()
    second = take(batch_id)
    assert second.token > first.token
    assert second.attempts == 2


def test_a_lease_that_is_renewed_does_not_end() -> None:
    people(3)
    (batch_id,) = order().batches
    claim = take(batch_id)
    overdue()
    assert batches.renew(claim)
    assert batches.claim(batch_id) is None


def test_a_holder_that_comes_too_late_writes_nothing() -> None:
    people(3)
    opened = order()
    late = take(opened.batches[0])
    overdue()
    other = take(late.id)
    assert not batches.renew(late)
    assert finish(late) is None
    assert give_up(late) == []
    assert batches.split(late) == []
    batches.put_back(late, counted=True)
    assert sql("SELECT count(*) FROM addresses") == [(0,)]
    assert sql("SELECT token FROM batches") == [(other.token,)]
    assert reload(opened.run).requests == 0
    assert finish(other) == []
    assert finish(other) is None
    assert reload(opened.run).created == 3


def test_finishing_counts_and_forgets_the_misses_of_what_is_stored() -> None:
    ids = people(3)
    drain(order(), Missed(str(ids[1]), "rejected", ("bad",)))
    sql("UPDATE misses SET next_try = now()")
    run = drain(order())
    assert (run.created, run.requests, run.status) == (1, 1, "succeeded")
    assert sql("SELECT count(*) FROM misses") == [(0,)]


def test_a_finish_that_the_database_refuses_leaves_all_as_it_was() -> None:
    people(3)
    opened = order()
    claim = take(opened.batches[0])
    with pytest.raises(RefusedError):
        finish(claim, Missed(str(claim.lo), "none"), rows=[{"user": claim.lo}])
    assert sql("SELECT token FROM batches") == [(claim.token,)]
    assert sql("SELECT count(*) FROM misses") == [(0,)]
    assert finish(claim) == []


def test_a_failed_batch_takes_the_unclaimed_ones_with_it_and_waits_for_those_in_hands() -> None:
    people(9)
    opened = order()
    first, second = take(opened.batches[0]), take(opened.batches[1])
    assert give_up(first) == []
    assert open_batches() == [(second.lo, second.hi)]
    run = reload(opened.run)
    assert (run.status, run.error, run.error_exit, run.requests, run.retries) == ("running", "down", 69, 2, 1)
    assert finish(second) == []
    run = reload(opened.run)
    assert (run.status, run.created) == ("partial", 3)
    assert sql("SELECT count(*) FROM misses") == [(0,)]


def test_a_run_of_which_nothing_was_stored_failed() -> None:
    people(4)
    opened = order()
    give_up(take(opened.batches[0]))
    run = reload(opened.run)
    assert (run.status, run.created) == ("failed", 0)
    assert run.finished_at is not None
    assert drain(order()).created == 4


def test_nothing_more_is_planned_in_a_run_with_an_error() -> None:
    people(3 * 40)
    opened = order()
    held = take(opened.batches[1])
    give_up(take(opened.batches[0]))
    assert finish(held) == []
    assert open_batches() == []


def test_a_batch_planned_while_another_is_given_up_is_given_up_too() -> None:
    people(3 * (plan.AT_ONCE + 1))
    opened = order()
    first, second = take(opened.batches[0]), take(opened.batches[1])
    giving_up = threading.Thread(target=give_up, args=(first,))
    with transaction():
        assert len(finish(second) or []) == 1
        giving_up.start()
        eventually(lambda: database.execute_sql(BLOCKED).fetchone()[0])
    giving_up.join(30)
    assert open_batches() == []
    assert reload(opened.run).status == "partial"


def test_a_batch_is_split_in_two_that_cover_it() -> None:
    ids = people(3)
    opened = order()
    pieces = batches.split(take(opened.batches[0]))
    assert len(pieces) == 2
    assert open_batches() == [(ids[0], ids[1]), (ids[2], ids[2])]
    assert [take(piece).attempts for piece in pieces] == [2, 2]
    overdue()
    assert drain(opened).created == 3


@pytest.mark.parametrize(("counted", "attempts"), [(True, 2), (False, 1)])
def test_a_batch_put_back_is_free_at_once(counted: bool, attempts: int) -> None:
    people(1)
    (batch_id,) = order().batches
    batches.put_back(take(batch_id), counted=counted)
    assert take(batch_id).attempts == attempts


def test_batches_are_announced_again_when_nobody_came_for_them() -> None:
    people(7)
    opened = order()
    announced: list[int] = []
    assert reconcile(announced.append, lambda: 0) == 0
    held = take(opened.batches[0])
    sql("UPDATE batches SET due = now() - interval '1 second' WHERE id <> %s", held.id)
    assert reconcile(announced.append, lambda: 0) == 1
    assert announced == opened.batches[1:]
    assert reconcile(announced.append, lambda: 0) == 0


def test_the_batch_of_a_dead_holder_is_announced_again_and_fences_it() -> None:
    people(1)
    (batch_id,) = order().batches
    dead = take(batch_id)
    overdue()
    announced: list[int] = []
    assert reconcile(announced.append, lambda: 0) == 1
    assert announced == [batch_id]
    assert not batches.renew(dead)


def test_nothing_is_announced_again_while_the_queue_holds_as_much_as_waits() -> None:
    people(7)
    order()
    overdue()
    announced: list[int] = []
    assert reconcile(announced.append, lambda: 2) == 0
    assert reconcile(announced.append, lambda: 1) == 2
    assert len(announced) == 2


def test_two_reconcilers_announce_every_batch_once() -> None:
    people(3 * plan.AT_ONCE)
    order()
    overdue()
    announced: list[int] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(30)
        reconcile(announced.append, lambda: 0)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(announced) == len(set(announced)) == plan.AT_ONCE


def test_a_lost_run_of_batches_is_deleted_with_its_run() -> None:
    people(3)
    opened = order()
    sql("DELETE FROM runs WHERE id = %s", str(opened.run.id))
    with session():
        assert Batch.select().count() == 0


def test_a_batch_with_misses_and_the_deletion_of_its_users_wait_for_each_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, *_, high = people(3)
    opened = order()
    claim = take(opened.batches[0])
    failures: list[str] = []

    def delete() -> None:
        with closing(connect_once(database_url)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute("DELETE FROM users WHERE id IN (%s, %s)", (low, high))
            except psycopg2.Error as exc:
                failures.append(type(exc).__name__)

    deleting = threading.Thread(target=delete)
    written = outcomes.upsert

    def slow(*args: Any) -> Any:
        found = written(*args)
        deleting.start()
        with closing(connect_once(database_url)) as other, other.cursor() as cursor:
            eventually(lambda: cursor.execute(BLOCKED) or cursor.fetchone()[0])
        return found

    monkeypatch.setattr(outcomes, "upsert", slow)
    assert finish(claim, Missed(str(low), "none"), rows=[{"user": high, **PLACE}]) is not None
    deleting.join(30)
    assert failures == []
    assert sql("SELECT count(*) FROM users") == [(1,)]
    assert sql("SELECT (SELECT count(*) FROM misses), (SELECT count(*) FROM addresses)") == [(0, 0)]


def test_what_a_source_or_a_declaration_brought_into_an_error_is_masked_in_the_ledger() -> None:
    people(3)
    claim = take(order().batches[0])
    batches.fail(claim, WORKS, Outcome(), SourceError("no", why=f"it points to {CARD_NUMBERS[0]}.example"))
    kept = [sql("SELECT error FROM runs WHERE error IS NOT NULL"), sql("SELECT error FROM sources")]
    assert [str(one).count("it points to ****.example") for one in kept] == [1, 1]
    assert CARD_NUMBERS[0] not in str(kept)
