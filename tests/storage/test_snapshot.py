"""The ledger at one moment: counters that nobody has to count, rates, signs of life."""

import json
from collections.abc import Callable
from contextlib import closing

import pytest

from celeryctl.datasets.addresses import Address
from celeryctl.datasets.credit_cards import CreditCard
from celeryctl.storage import counters, coverage, heartbeat, pause, rates, snapshot, sources
from celeryctl.storage.database import connect_once, database, session, transaction
from celeryctl.storage.misses import Missed, record
from celeryctl.storage.snapshot import DatasetLine, Snapshot
from celeryctl.storage.user import User

from .ledgerkit import WORKS, drain, order, people, sql, take

pytestmark = pytest.mark.integration
MODELS = {"users": User, "addresses": Address, "credit_cards": CreditCard}


@pytest.fixture(autouse=True)
def clean(database_url: str) -> None:
    """Every test has empty tables."""


def read() -> Snapshot:
    return snapshot.read(MODELS)


def line(name: str = "addresses") -> DatasetLine:
    return next(line for line in read().datasets if line.name == name)


def note(key: int, outcome: str) -> None:
    with transaction():
        record(WORKS["addresses"], [Missed(str(key), outcome)])  # type: ignore[arg-type]


def counts() -> tuple[int, int, int, int]:
    """Users, addresses, users known to have none, misses that are quarantined; as counted and as they are."""
    found = line()
    told = (line("users").rows, found.rows, found.absent, found.quarantined)
    (true,) = sql(
        """SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM addresses),
        (SELECT count(*) FROM misses WHERE outcome = 'none'),
        (SELECT count(*) FROM misses WHERE outcome IN ('rejected', 'failed'))"""
    )
    assert told == true
    return told


def test_an_empty_ledger_reads_as_one() -> None:
    found = read()
    assert [(one.name, one.rows, one.last_run, one.counted_at, one.paused) for one in found.datasets] == [
        (name, 0, None, None, False) for name in MODELS
    ]
    assert (found.runs, found.workers, found.beats, found.sources) == (None, None, None, None)
    assert found.throughput() == [0] * snapshot.BUCKETS
    assert (found.open.batches, found.open.oldest) == (0, None)


def test_counters_follow_every_kind_of_write() -> None:
    ids = people(6)
    drain(order(limit=3))
    note(ids[3], "none")
    note(ids[4], "rejected")
    assert counts() == (6, 3, 1, 1)
    note(ids[4], "none")
    assert counts() == (6, 3, 2, 0)
    sql("DELETE FROM misses WHERE key = %s", str(ids[3]))
    sql("UPDATE addresses SET user_id = %s WHERE user_id = %s", ids[5], ids[0])
    sql("INSERT INTO users (external_id, name, username, email) VALUES (1, 'x', 'x', 'x') ON CONFLICT DO NOTHING")
    assert counts() == (6, 3, 1, 0)
    sql("TRUNCATE addresses")
    assert counts() == (6, 0, 1, 0)
    sql("TRUNCATE users, misses CASCADE")
    assert counts() == (0, 0, 0, 0)


def test_with_a_user_goes_what_is_counted_of_it() -> None:
    ids = people(3)
    drain(order(limit=1))
    note(ids[1], "none")
    note(ids[2], "failed")
    assert counts() == (3, 1, 1, 1)
    sql("DELETE FROM users")
    assert counts() == (0, 0, 0, 0)


def test_a_write_that_is_rolled_back_is_not_counted() -> None:
    with transaction():
        database.execute_sql("INSERT INTO users (external_id, name, username, email) VALUES (1, 'x', 'x', 'x')")
        database.rollback()
    assert counts() == (0, 0, 0, 0)


def test_of_a_user_whose_row_stays_the_source_has_gone_and_none_is_absent() -> None:
    ids = people(2)
    drain(order(limit=1))
    note(ids[0], "none")
    note(ids[1], "none")
    assert sql("SELECT key, outcome FROM misses ORDER BY key::bigint") == [(str(ids[0]), "gone"), (str(ids[1]), "none")]
    assert counts() == (2, 1, 1, 0)


def test_a_miss_of_a_user_that_was_deleted_meanwhile_is_not_kept() -> None:
    note(10**9, "none")
    assert sql("SELECT count(*) FROM misses") == [(0,)]


def test_counters_that_are_wrong_are_found_and_counted_anew() -> None:
    people(4)
    assert counters.drift([User, Address]) == []
    sql("UPDATE counts SET rows = 1 WHERE table_name = 'users'")
    assert counters.drift([User, Address]) == [counters.Drift("users", 1, 4)]
    counters.recount([User])
    assert counters.drift([User, Address]) == []
    people(1)
    assert line("users").rows == 5


def test_a_table_whose_counting_was_switched_off_is_found(database_url: str) -> None:
    with session():
        assert counters.uncounted([User, Address]) == []
    sql("ALTER TABLE addresses DISABLE TRIGGER rows_added")
    try:
        with session():
            assert counters.uncounted([User, Address]) == ["addresses"]
    finally:
        sql("ALTER TABLE addresses ENABLE TRIGGER rows_added")


def test_rows_that_come_in_are_counted_by_the_moment() -> None:
    people(5)
    drain(order())
    assert sum(read().throughput()) == 5
    sql("UPDATE rates SET bucket = bucket - interval '1 minute'")
    assert read().throughput()[-9:-5].count(5) == 1
    sql("UPDATE rates SET bucket = bucket - interval '10 minutes'")
    assert sum(read().throughput()) == 0


def test_a_slot_that_comes_round_again_begins_at_nothing() -> None:
    with transaction():
        rates.count("addresses", 7)
        rates.count("addresses", 7)
    assert sql("SELECT sum(rows) FROM rates WHERE bucket > now() - interval '1 minute'") == [(14,)]
    sql("UPDATE rates SET bucket = bucket - interval '10 minutes'")
    for slot in range(rates.SLOTS):
        sql(
            "INSERT INTO rates VALUES ('addresses', %s, now() - interval '10 minutes', 99) ON CONFLICT DO NOTHING", slot
        )
    with transaction():
        rates.count("addresses", 3)
    assert sum(read().throughput()) == 3


def test_the_oldest_batch_that_waits_is_told_by_its_age() -> None:
    people(6)
    opened = order()
    sql("UPDATE batches SET created_at = now() - interval '90 seconds'")
    waiting = read().open
    assert waiting.batches == 2
    assert 90 <= (waiting.oldest or 0) < 150
    for batch_id in opened.batches:
        take(batch_id)
    assert read().open.oldest is None


def test_the_newest_run_of_each_data_set_and_the_newest_of_all_are_there() -> None:
    people(1)
    first = drain(order())
    second = order("users").run
    found = read()
    assert [run.id for run in found.runs or []] == [str(second.id), str(first.id)]
    newest = {one.name: one.last_run and one.last_run.id for one in found.datasets}
    assert newest == {"users": str(second.id), "addresses": str(first.id), "credit_cards": None}
    assert (found.runs or [])[1].done == 1


def test_the_schedule_is_counted_from_the_same_run_as_beat_counts_it() -> None:
    people(1)
    drain(order())
    order("users", followers=("credit_cards",))
    order(limit=1)
    with session():
        for name in MODELS:
            assert line(name).counted_at == coverage.last_scheduled(name)


def test_a_source_shows_how_it_answered_last() -> None:
    sources.failed("users", "503")
    (state,) = read().sources or []
    assert (state.error, state.last_ok, state.latency) == ("503", None, None)
    sources.answered("users", latency=0.2)
    (state,) = read().sources or []
    assert (state.error, state.latency) == (None, 0.2)
    assert state.last_ok is not None
    sources.failed("users", "500")
    assert (read().sources or [])[0].last_ok == state.last_ok
    sources.answered("users", latency=1.2)
    assert (read().sources or [])[0].latency == pytest.approx(0.5)


def test_workers_and_beats_are_alive_while_they_say_so(database_url: str) -> None:
    heartbeat.beat(database_url, name="b@host", active=1, concurrency=4, rss=2**40)
    with closing(connect_once(database_url)) as connection:
        heartbeat.ticked(connection, name="one@host", active=False)
        heartbeat.ticked(connection, name="two@host", active=True)
        found = read()
        (worker,), beats = found.workers or [], found.beats or []
        assert (worker.name, worker.alive, worker.active, worker.concurrency, worker.rss) == (
            "b@host",
            True,
            1,
            4,
            2**40,
        )
        assert abs(worker.skew or 0) < 5
        assert [(beat.name, beat.active, beat.alive) for beat in beats] == [
            ("two@host", True, True),
            ("one@host", False, True),
        ]
        heartbeat.ended(connection, name="two@host")
        sql("UPDATE beats SET seen_at = now() - interval '16 seconds'")
        assert [(beat.name, beat.alive) for beat in read().beats or []] == [("one@host", False)]
        heartbeat.ticked(connection, name="one@host", active=True)
        assert [(beat.active, beat.alive) for beat in read().beats or []] == [(True, True)]


def test_a_pause_is_remembered_until_it_is_lifted() -> None:
    pause.pause(["addresses", "users"])
    pause.pause(["users"])
    assert pause.paused() == {"addresses", "users"}
    assert line("users").paused
    pause.resume(["users", "credit_cards"])
    assert pause.paused() == {"addresses"}


def test_a_reading_costs_one_query_which_looks_at_bounded_tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    people(3000)
    sql("ANALYZE")
    asked: list[tuple[str, object]] = []
    execute: Callable[..., object] = database.execute_sql
    monkeypatch.setattr(database, "execute_sql", lambda *args: asked.append(args) or execute(*args))
    read()
    monkeypatch.undo()
    ((statement, parameters),) = asked
    with session():
        (plan,) = database.execute_sql(f"EXPLAIN (FORMAT json) {statement}", parameters).fetchone()
    text = json.dumps(plan)
    assert '"counts"' in text
    assert not any(f'"Relation Name": "{name}"' in text for name in ("users", "addresses", "credit_cards", "misses"))


def test_every_step_of_a_run_and_its_batches_is_told(database_url: str) -> None:
    people(1)
    with closing(connect_once(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("LISTEN celeryctl")
        opened = order()
        claim = take(opened.batches[0])
        cursor.execute("SELECT 1")
        connection.poll()
        told = [json.loads(notice.payload) for notice in connection.notifies]
    assert {(one["run"], one["status"]) for one in told if "status" in one} == {(str(opened.run.id), "running")}
    steps = [one for one in told if "batch" in one]
    assert [(one["batch"], one["what"]) for one in steps] == [(claim.id, "planned"), (claim.id, "claimed")]
