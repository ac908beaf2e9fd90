"""How runs are cut for the cluster that there is, and what beat finds when nothing is missing, or hardly anything."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from celeryctl.storage import batches, plan, runs
from celeryctl.storage.database import database, session
from celeryctl.storage.misses import Missed
from celeryctl.storage.outcomes import Outcome

from .ledgerkit import RING, WORKS, drain, finish, open_batches, order, people, sql, take

pytestmark = pytest.mark.integration
SLOT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def test_a_larger_cluster_has_a_larger_window() -> None:
    people(9 * plan.WINDOW)
    sql(
        """INSERT INTO workers (name, seen_at, active, concurrency, rss)
      VALUES ('large@a', now(), 0, %s, 0), ('gone@b', now() - interval '1 minute', 0, 500, 0)""",
        plan.WINDOW,
    )
    opened = order()
    for batch in opened.batches[:4]:
        finish(take(batch))
    assert len(open_batches()) == plan.IN_HAND * plan.WINDOW


@pytest.mark.parametrize(
    ("records", "processes", "size"),
    [(None, 0, 50_000), (10, 0, 1000), (20_000, 0, 2000), (20_000, 8, 1000), (400_000, 8, 12_500), (10**9, 8, 50_000)],
)
def test_a_run_is_cut_so_that_every_process_gets_some_of_it(records: int | None, processes: int, size: int) -> None:
    sql("INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('a', now(), 0, %s, 0)", processes)
    with session():
        assert plan.batch_size(replace(WORKS["addresses"], batch_size=50_000), records) == size


@pytest.mark.parametrize(("most", "batch"), [(5, (2, 3)), (4, (2, 3)), (1, (2, 2))])
def test_a_batch_of_pages_holds_no_more_than_it_may(most: int, batch: tuple[int, int]) -> None:
    works = {**WORKS, "users": replace(WORKS["users"], batch_size=most)}
    opened = order("users", works=works)
    outcome = Outcome(bound=9)
    batches.finish(take(opened.batches[0]), outcome, works, RING)
    assert open_batches()[0] == batch


def scheduled(**more: Any) -> runs.Opened:
    """What beat orders. Its slots are as old as the tests need."""
    (number,) = sql("SELECT count(*) FROM runs")[0]
    slot = SLOT + timedelta(seconds=number)
    opened = runs.open_run(runs.Order(dataset="addresses", trigger="schedule", slot=slot, **more), WORKS)
    assert opened is not None
    return opened


def test_when_nothing_is_missing_beat_takes_the_counters_word_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    people(30)
    drain(order())
    monkeypatch.setattr(runs, "advance", None)  # which would look at every user
    assert scheduled().run.status == "succeeded"


def test_a_row_deleted_by_hand_is_there_again_after_the_next_tick() -> None:
    ids = people(30)
    drain(order())
    assert scheduled().batches == []
    sql("DELETE FROM addresses WHERE user_id = %s", ids[17])
    opened = scheduled()
    assert (opened.run.expected, open_batches()) == (1, [(ids[17], ids[17])])
    assert drain(opened).created == 1


@pytest.mark.parametrize("which", [0, 14, 29])
def test_a_row_that_went_with_triggers_switched_off_is_found_by_looking_at_some(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    # Of 30 users 10 are looked at; that a certain one is never among them in 300 goes, nobody will live to see.
    monkeypatch.setattr(plan, "SAMPLE", 10)
    ids = people(30)
    drain(order())
    sql("ALTER TABLE addresses DISABLE TRIGGER USER")
    sql("DELETE FROM addresses WHERE user_id = %s", ids[which])
    sql("ALTER TABLE addresses ENABLE TRIGGER USER")
    opened = next(one for one in (scheduled() for _ in range(300)) if one.batches)
    assert (opened.run.expected, open_batches()) == (0, [(ids[which], ids[which])])
    assert drain(opened).created == 1


def test_counters_that_cannot_be_right_are_not_believed() -> None:
    ids = people(30)
    drain(order())
    sql("UPDATE counts SET rows = 20 WHERE table_name = 'users'")
    sql("DELETE FROM addresses WHERE user_id = %s", ids[3])
    opened = scheduled()
    assert (opened.run.expected, open_batches()) == (1, [(ids[3], ids[3])])


def test_who_asks_for_it_has_every_user_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = people(30)
    drain(order())
    sql("UPDATE counts SET rows = 0 WHERE table_name = 'users'")
    sql("DELETE FROM addresses WHERE user_id = %s", ids[3])
    monkeypatch.setattr(runs, "all_there", None)
    assert open_batches() == []
    order()
    assert open_batches() == [(ids[3], ids[3])]


def test_users_that_are_committed_out_of_order_are_not_skipped(database_url: str) -> None:
    (before,) = people(1)
    # Of 32 connections in a row one counts in the same place as ours, and would wait for this one.
    with session():
        ours = database.connection().info.backend_pid
    connections = (psycopg2.connect(database_url) for _ in range(2))
    late = next(one for one in connections if one.info.backend_pid % 32 != ours % 32)
    with closing(late), late.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (external_id, name, username, email) VALUES (1000, 'n', 'u', 'e') RETURNING id"
        )
        late_id = cursor.fetchone()[0]
        (after,) = people(1)
        drain(order())
        assert scheduled().batches == []
        late.commit()
    assert before < late_id < after
    opened = scheduled()
    assert open_batches() == [(late_id, late_id)]
    assert drain(opened).created == 1


def test_misses_keep_only_those_back_that_have_no_row() -> None:
    ids = people(6)
    rejected, none = Missed(str(ids[1]), "rejected", ("city is missing",)), Missed(str(ids[2]), "none")
    drain(order(limit=4), rejected, none)
    # A row that came otherwise, and a miss of a user that has one: neither stands for a user that lacks a row.
    sql("INSERT INTO addresses (user_id, street_number, street_name, city, state, country, postal_code)"
        " VALUES (%s, 'x', 'x', 'x', 'x', 'x', 'x')", ids[2])  # fmt: skip
    sql("INSERT INTO misses (dataset, key, user_id, outcome, reasons) VALUES ('addresses', %s, %s, 'rejected', '{}')",
        str(ids[0]), ids[0])  # fmt: skip
    opened = scheduled()
    assert (opened.run.expected, open_batches()) == (2, [(ids[4], ids[5])])
    drain(opened)
    sql("UPDATE misses SET next_try = now() WHERE key = %s", str(ids[1]))
    assert scheduled().run.expected == 1
