"""Beat: one of several is active, every slot is run once, and neither database nor broker ends it."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from waiting import eventually

from celeryctl.cluster.app import create_app
from celeryctl.cluster.beat import LEADER, TICK, LedgerScheduler
from celeryctl.storage import coverage, pause
from celeryctl.storage import sources as failing
from celeryctl.storage.database import session

from .kit import Process, context, process, rows, settings, sources, value, worker

pytestmark = pytest.mark.integration

Make = Callable[..., LedgerScheduler]
NO_BROKER = "redis://127.0.0.1:1/0"
SLOTS = "SELECT dataset, slot, started_at FROM runs WHERE trigger = 'schedule' ORDER BY dataset, started_at"
RUNNING_USERS = "SELECT count(*) FROM runs WHERE dataset = 'users' AND status = 'running'"
HOLDER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted"


@pytest.fixture
def make(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Make]:
    """Make schedulers as Celery's beat does."""
    with ExitStack() as stack:

        def scheduler(broker: str = redis_url, **more: str) -> LedgerScheduler:
            app = create_app(context(settings(database_url, broker, tmp_path, **more), tmp_path))
            made = LedgerScheduler(app=app)
            stack.callback(app.close)
            stack.callback(made.close)
            return made

        yield scheduler


def end_runs(started: str) -> None:
    """As if every run had been done, begun so long ago."""
    with session():
        coverage.database.execute_sql("DELETE FROM batches")
        sql = "UPDATE runs SET status = 'succeeded', finished_at = now(), started_at = now() - %s::interval"
        coverage.database.execute_sql(sql, (started,))


def test_a_source_that_is_left_alone_is_asked_again_when_that_is_over_and_once(make: Make) -> None:
    scheduler = make(broker=NO_BROKER, FETCH_USERS_INTERVAL="1s", FETCH_ADDRESSES_INTERVAL="1h")
    scheduler.tick()
    end_runs("10 seconds")
    failing.failed("users", "429", retry_after=100)
    assert 0 < scheduler.tick() <= TICK
    assert value(RUNNING_USERS) == 0
    with session():
        coverage.database.execute_sql("UPDATE sources SET asks_again_at = now() - interval '1 second'")
    scheduler.tick()
    scheduler.tick()
    assert value(RUNNING_USERS) == 1


def test_one_beat_is_active_and_the_next_takes_over_when_it_ends(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = make(), make()
    first.tick()
    assert second.tick() == TICK
    assert [record.message for record in caplog.records if record.message.startswith("beat ")] == [
        "beat active: opens the runs that are due",
        "beat stands by: another beat is active",
    ]
    first.close()
    eventually(lambda: second.tick() and caplog.messages[-1] == "beat active: opens the runs that are due")


def test_a_beat_that_stands_by_opens_nothing(make: Make) -> None:
    first, second = make(), make()
    first.tick()
    with session():
        coverage.database.execute_sql("TRUNCATE runs CASCADE")
    second.tick()
    assert rows(SLOTS) == []


def test_what_is_due_is_opened_once_in_its_slot_and_announced(make: Make) -> None:
    beat = make()
    beat.tick()
    beat.tick()
    opened = rows(SLOTS)
    assert [row[0] for row in opened] == ["addresses", "credit_cards", "users"]
    assert {row[1].timestamp() % every for row, every in zip(opened, (600, 900, 300), strict=True)} == {0}
    with beat.app.connection_for_read() as connection:
        assert connection.default_channel.client.llen("celery") == value("SELECT count(*) FROM batches") == 1


def test_the_next_look_is_no_later_than_the_next_slot(make: Make) -> None:
    beat = make(FETCH_USERS_INTERVAL="1s")
    assert beat.tick() <= 1
    end_runs("0 s")
    assert 0 < beat.tick() <= 1


@pytest.mark.parametrize(("every", "due"), [("50s", True), ("70s", False)])
def test_intervals_are_those_of_the_settings(make: Make, every: str, due: bool) -> None:
    beat = make(FETCH_USERS_INTERVAL=every)
    beat.tick()
    end_runs("60 s")
    beat.tick()
    assert len([row for row in rows(SLOTS) if row[0] == "users"]) == 1 + due


def test_missed_slots_are_made_up_once(make: Make) -> None:
    beat = make()
    beat.tick()
    end_runs("1 day")
    beat.tick()
    with session():
        coverage.database.execute_sql("DELETE FROM batches")
        coverage.database.execute_sql("UPDATE runs SET status = 'succeeded', finished_at = now()")
    beat.tick()
    users = [row for row in rows(SLOTS) if row[0] == "users"]
    assert len(users) == 2
    assert users[1][1] - users[0][2] == timedelta(seconds=300)


def test_a_beat_whose_connection_was_killed_goes_on(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    beat = make()
    beat.tick()
    rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (" + HOLDER + ")", LEADER)
    assert beat.tick() == TICK
    assert "the database does not answer" in caplog.messages[-1]
    beat.tick()
    assert caplog.messages[-1] == "beat active: opens the runs that are due"
    assert len(rows(HOLDER, LEADER)) == 1


def test_a_beat_whose_connection_was_killed_does_not_lead_beside_another(make: Make) -> None:
    first, second = make(), make()
    first.tick()
    rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (" + HOLDER + ")", LEADER)
    eventually(lambda: not rows(HOLDER, LEADER))
    second.tick()
    first.tick()
    first.tick()
    assert (first._leading, second._leading) == (False, True)


def test_without_a_broker_runs_are_opened_and_announced_later(
    make: Make, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = make(NO_BROKER)
    away.tick()
    assert len(rows(SLOTS)) == 3
    assert "the broker does not answer" in caplog.text
    away.close()
    with session():
        coverage.database.execute_sql("UPDATE batches SET due = now() - interval '1 s'")
    back = make()
    back.tick()
    with back.app.connection_for_read() as connection:
        assert connection.default_channel.client.llen("celery") == 1


def test_a_data_set_that_cannot_be_opened_does_not_keep_back_the_others(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    beat = make()
    with session():
        coverage.database.execute_sql("ALTER TABLE addresses RENAME TO hidden")
        coverage.database.execute_sql(
            "INSERT INTO users (external_id, name, username, email) VALUES (1, 'n', 'u', 'e')"
        )
    try:
        beat.tick()
    finally:
        with session():
            coverage.database.execute_sql("ALTER TABLE hidden RENAME TO addresses")
    assert [row[0] for row in rows(SLOTS)] == ["credit_cards", "users"]
    assert "addresses cannot open its run: the database's tables are missing" in caplog.text


def beats(stack: ExitStack, folder: Path, variables: dict[str, str], count: int) -> list[Process]:
    return [
        stack.enter_context(process(["celeryctl", "beat"], folder / f"beat{n}.log", variables)) for n in range(count)
    ]


@pytest.mark.slow
def test_slots_are_run_with_the_distances_that_are_set_also_by_the_beat_that_takes_over(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    intervals = {"users": 1, "addresses": 2, "credit_cards": 3}
    every = {f"FETCH_{name.upper()}_INTERVAL": f"{seconds}s" for name, seconds in intervals.items()}
    with ExitStack() as stack:
        variables = settings(database_url, redis_url, tmp_path, api=stack.enter_context(sources()), **every)
        stack.enter_context(worker(tmp_path / "worker.log", variables))
        both = beats(stack, tmp_path, variables, 2)
        eventually(lambda: [beat for beat in both if "beat active" in beat.text])
        eventually(lambda: [beat for beat in both if "beat stands by" in beat.text])
        active, standing = sorted(both, key=lambda beat: "beat active" not in beat.text)
        eventually(lambda: value("SELECT count(*) FROM runs WHERE dataset = 'credit_cards'") >= 2)
        active.kill()
        before = value("SELECT count(*) FROM runs WHERE dataset = 'credit_cards'")
        standing.assert_says("beat active", within=10)
        eventually(lambda: value("SELECT count(*) FROM runs WHERE dataset = 'credit_cards'") >= before + 2)
        assert standing.end() == 0
    found = rows(SLOTS)
    assert len({row[:2] for row in found}) == len(found)
    for name, seconds in intervals.items():
        mine = [row for row in found if row[0] == name]
        assert len(mine) >= 4
        assert {later[1] - earlier[2] for earlier, later in pairwise(mine)} == {timedelta(seconds=seconds)}


def test_one_that_was_closed_ends_even_if_nobody_heard_of_it(make: Make) -> None:
    scheduler = make()
    scheduler.tick()
    scheduler.close()
    with pytest.raises(SystemExit):
        scheduler.tick()
    make().tick()
    assert value("SELECT count(*) FROM beats WHERE active") == 1


@pytest.mark.slow
def test_beat_survives_a_database_and_a_broker_that_go_away(
    database_url: str, redis_url: str, server_home: Path, tmp_path: Path
) -> None:
    from celeryctl.local.valkey import Valkey

    broker = Valkey(server_home)
    url = broker.start()
    variables = settings(database_url, url, tmp_path, FETCH_USERS_INTERVAL="1s")
    with process(["celeryctl", "beat"], tmp_path / "beat.log", variables) as beat:
        beat.assert_says("beat active")
        broker.stop()
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'celeryctl'"
        others += " AND datname = current_database() AND pid <> pg_backend_pid()"
        beat.assert_says("run opened dataset=users")
        rows(others)
        beat.assert_says("beat waits: the database does not answer")
        beat.assert_says("beat active", times=2)
        end_runs("5 s")
        beat.assert_says("run opened dataset=users", times=2)
        assert beat.end() == 0


def test_a_paused_data_set_is_passed_over_also_by_a_beat_that_starts_later(make: Make) -> None:
    pause.pause(["users", "credit_cards"])
    for beat in (make(), make()):
        beat.tick()
        assert [row[0] for row in rows(SLOTS)] == ["addresses"]
        beat.close()
    pause.resume(["users"])
    make().tick()
    assert [row[0] for row in rows(SLOTS)] == ["addresses", "users"]


def test_with_everything_paused_beat_goes_on_looking(make: Make) -> None:
    pause.pause(["users", "addresses", "credit_cards"])
    assert make().tick() == TICK


def test_a_beat_shows_that_it_lives_until_it_ends(make: Make) -> None:
    beat = make()
    beat.tick()
    ((name, active),) = rows("SELECT name, active FROM beats")
    assert (name.endswith(f"@{socket.gethostname()}"), active) == (True, True)
    beat.close()
    assert rows("SELECT name FROM beats") == []
