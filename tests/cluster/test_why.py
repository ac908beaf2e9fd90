"""Verdicts: why a run or a task is where it is, why a user lacks what it lacks."""

import io
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
from rich.console import Console
from waiting import eventually

from celeryctl import services
from celeryctl.cluster import messages
from celeryctl.cluster.app import App, create_app
from celeryctl.cluster.publish import announce
from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.http import RateBudget
from celeryctl.pipeline.context import Context
from celeryctl.storage import batches, misses, pause
from celeryctl.storage import sources as failing
from celeryctl.storage.database import transaction
from celeryctl.storage.runs import Opened, Order
from celeryctl.verdicts.subject import why
from celeryctl.verdicts.verdict import Verdict
from celeryctl.views import why as views

from .kit import context, process, rows, settings, sources, value, worker

pytestmark = pytest.mark.integration


@dataclass
class Desk:
    """Somebody who opens runs and asks why."""

    app: App
    context: Context

    def open(self, dataset: str = "users", *, announced: bool = True) -> Opened:
        opened = self.app.pipeline.open(Order(dataset=dataset, trigger="test"))
        assert opened is not None
        announce(self.app, opened.batches if announced else ())
        return opened

    def why(self, subject: object, *, external: bool = False) -> Verdict:
        return why(self.context, str(subject), external=external)


@pytest.fixture
def desk(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    read = context(settings(database_url, redis_url, tmp_path), tmp_path)
    services.use(read)
    with create_app(read) as app:
        yield Desk(app, read)
    services.use(None)


def alive(name: str = "w@h", age: float = 0) -> None:
    """A worker that has shown itself so long ago."""
    statement = """INSERT INTO workers (name, seen_at, active, concurrency, rss)
      VALUES (%s, now() - %s * interval '1 second', 0, 2, 1)"""
    with transaction():
        services.database.execute_sql(statement, (name, age))


def led() -> None:
    with transaction():
        services.database.execute_sql("INSERT INTO beats VALUES ('b', now(), true)")


def people(count: int = 3) -> list[int]:
    statement = """INSERT INTO users (external_id, name, username, email)
      SELECT n, 'n', 'u', 'e' FROM generate_series(101, %s) n RETURNING id"""
    return [row[0] for row in rows(statement, 100 + count)]


def assert_says(verdict: Verdict, state: str, *parts: str, following: str = "") -> None:
    told = " ".join(verdict.because)
    assert verdict.state == state, verdict
    for part in parts:
        assert re.search(part, told), (part, told)
    assert following in verdict.next


def test_a_run_without_any_worker_is_stuck(desk: Desk) -> None:
    opened = desk.open()
    assert_says(desk.why(opened.run.id), "stuck", "No worker is alive", "place 1 of 1", following="celeryctl worker")


def test_a_queued_run_tells_its_place(desk: Desk) -> None:
    first, second = desk.open("users"), desk.open("addresses") if people() else None
    alive()
    assert second is not None
    assert_says(desk.why(str(first.run.id)[:8]), "queued", "place 1 of 2", following=f"tail {str(first.run.id)[:8]}")
    assert_says(desk.why(second.run.id), "queued", "place 2 of 2")


def test_a_batch_in_work_tells_who_holds_it_and_how_long(desk: Desk) -> None:
    opened = desk.open()
    assert batches.claim(opened.batches[0], holder="w@h", task_id="task-1")
    alive()
    assert_says(desk.why(opened.run.id), "in work", r"w@h works on batch 1 to \d+; its lease has [3456] s left")


def test_a_task_in_work_is_found_by_the_id_that_its_worker_gave_it(desk: Desk) -> None:
    opened = desk.open()
    batches.claim(opened.batches[0], holder="w@h", task_id="c0ffee00-1111")
    alive()
    verdict = desk.why("c0ffee")
    assert_says(verdict, "in work", "w@h works on", f"of run {str(opened.run.id)[:8]}")
    assert verdict.subject == "task c0ffee00-1111 of users"


def test_a_task_in_the_queue_is_found_in_the_broker(desk: Desk, redis_url: str) -> None:
    desk.open()
    alive()
    with redis.Redis.from_url(redis_url) as client:
        (raw,) = client.lrange("celery", 0, -1)
    task_id = re.search(rb'"id": "([0-9a-f-]{36})"', raw)
    assert task_id is not None
    assert_says(desk.why(task_id[1].decode()[:8]), "queued", "place 1 of 1")


def test_a_holder_that_fell_silent_leaves_an_orphan(desk: Desk) -> None:
    opened = desk.open()
    batches.claim(opened.batches[0], holder="dead@h")
    with transaction():
        services.database.execute_sql("UPDATE batches SET due = now() - interval '1 second'")
    alive()
    assert_says(desk.why(opened.run.id), "orphaned", "dead@h has fallen silent", "No beat", following="celeryctl beat")
    led()
    assert_says(desk.why(opened.run.id), "orphaned", "as soon as it is announced again", following="tail")


def test_a_lost_message_is_announced_again_if_there_is_a_beat(desk: Desk) -> None:
    opened = desk.open(announced=False)
    alive()
    assert_says(desk.why(opened.run.id), "lost", "No beat is active", following="celeryctl beat")
    led()
    assert_says(desk.why(opened.run.id), "lost", "announced again in seconds")


def test_behind_more_messages_than_are_looked_at_it_is_not_called_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MOST", 3)
    announce(desk.app, [10**9 + number for number in range(5)])
    opened = desk.open()
    alive()
    led()
    verdict = desk.why(opened.run.id)
    assert_says(verdict, "queued", "not among the first")
    assert "announced" not in " ".join(verdict.because)


def test_a_source_that_asked_for_a_pause_holds_back_what_is_in_work(desk: Desk) -> None:
    opened = desk.open()
    assert batches.claim(opened.batches[0], holder="w@h")
    alive()
    RateBudget.from_settings(desk.context.settings).pause("users", 60)
    assert_says(
        desk.why(opened.run.id), "in work", r"The source of users has asked for a pause, which lasts \d+ s more"
    )


def test_a_rate_budget_that_is_used_up_is_told(desk: Desk) -> None:
    home = desk.context.settings.home.parent
    urls = str(desk.context.settings.database_url), str(desk.context.settings.redis_url)
    limited = Desk(desk.app, context(settings(*urls, home, USERS_RATE_LIMIT="1/h"), home))
    opened = desk.open()
    assert batches.claim(opened.batches[0], holder="w@h")
    alive()
    RateBudget.from_settings(limited.context.settings).wait("users")
    assert_says(limited.why(opened.run.id), "in work", r"The rate budget of users \(1/h\) is used up")


def test_a_pause_is_told(desk: Desk) -> None:
    opened = desk.open()
    alive()
    pause.pause(["users"])
    assert_says(desk.why(opened.run.id), "queued", "schedule of users is paused")


def test_without_a_broker_it_says_what_the_ledger_knows(desk: Desk) -> None:
    opened = desk.open()
    alive()
    home = desk.context.settings.home.parent
    nobody = settings(str(desk.context.settings.database_url), "redis://127.0.0.1:1/0", home)
    blind = Desk(desk.app, context(nobody, home))
    assert_says(blind.why(opened.run.id), "queued", "the queue cannot be seen", following="celeryctl doctor")


@pytest.mark.parametrize(
    ("changes", "state", "part", "following"),
    [
        ("status = 'failed', error = '503 from there'", "failed", "given up: 503 from there", "celeryctl fetch users"),
        ("status = 'cancelled'", "cancelled", "cancelled it", "celeryctl fetch users"),
        ("status = 'succeeded', created = 7", "succeeded", "7 new", "celeryctl runs"),
        ("status = 'partial', rejected = 2", "partial", "2 records were set aside", "celeryctl failed users"),
    ],
)
def test_a_run_that_is_over_tells_how_it_ended(desk: Desk, changes: str, state: str, part: str, following: str) -> None:
    opened = desk.open()
    with transaction():
        services.database.execute_sql("DELETE FROM batches")
        services.database.execute_sql(f"UPDATE runs SET finished_at = now(), {changes}")
    assert_says(desk.why(opened.run.id), state, part, following=following)


def test_a_source_that_is_left_alone_explains_why_nothing_comes(desk: Desk) -> None:
    opened, user = desk.open(), people(1)[0]
    for name in ("users", "addresses"):
        for _ in range(3):
            failing.failed(name, "503 from there")
    with transaction():
        services.database.execute_sql("DELETE FROM batches")
        services.database.execute_sql("UPDATE runs SET status = 'failed', error = '503 from there'")
    why = "as 3 runs in a row have failed; a fetch does not wait for that"
    # It ran just now, and is not due before its interval is over; the other one has never run.
    assert_says(desk.why(opened.run.id), "failed", f"again in 4 min, {why}", following="celeryctl fetch users")
    assert_says(desk.why(user), "lacks addresses, credit_cards", rf"again in \d+ s, {why}")
    pause.pause(["users"])
    assert "again in" not in " ".join(desk.why(opened.run.id).because)
    pause.resume(["users"])
    for name in ("users", "addresses"):
        failing.answered(name)
    assert "again in" not in " ".join(desk.why(opened.run.id).because)


@pytest.mark.shows_numbers("its row is not a real one: the column holds any text")
def test_a_user_with_everything_is_complete(desk: Desk) -> None:
    user = people(1)[0]
    with transaction():
        for statement in (
            "INSERT INTO addresses (user_id, street_number, street_name, city, state, country, postal_code) "
            "SELECT id, '1', 's', 'c', 's', 'c', '1' FROM users",
            "INSERT INTO credit_cards (user_id, card_number, card_type, expiry_date) "
            "SELECT id, 'x', 'x', 'x' FROM users",
        ):
            services.database.execute_sql(statement)
    assert_says(desk.why(user), "complete", "addresses: there", "credit_cards: there", following=f"users show {user}")
    assert_says(desk.why(101, external=True), "complete")


def test_a_user_that_lacks_something_is_told_why(desk: Desk) -> None:
    first, second, third = people(3)
    work = desk.app.pipeline.works["addresses"]
    with transaction():
        misses.record(work, [misses.Missed(str(first), "rejected", ("city is missing", "state is empty"))])
        misses.record(work, [misses.Missed(str(second), "none")])
        misses.record(work, [misses.Missed(str(third), "failed", ("its worker died",))])
    rejected = desk.why(first)
    assert_says(rejected, "lacks addresses, credit_cards", "1 time, last . s ago: city is missing; state is empty")
    assert_says(rejected, rejected.state, "may be tried again in \\d+ s", following="celeryctl fetch addresses")
    assert_says(rejected, rejected.state, "credit_cards: missing. No run has come to this user yet")
    assert_says(desk.why(second), "lacks credit_cards", "addresses: none there", "only with --refresh")
    assert_says(desk.why(third), "lacks addresses, credit_cards", "its worker died", "not tried again by itself")
    pause.pause(["credit_cards"])
    assert_says(desk.why(second), "lacks credit_cards", "The schedule of credit_cards is paused")


@pytest.mark.parametrize("subject", ["999", "fff", "no such thing", "-1", "../x", "1" * 40])
def test_what_nobody_knows_is_told_with_what_helps(desk: Desk, subject: str) -> None:
    with pytest.raises(CeleryctlError) as told:
        desk.why(subject)
    assert told.value.exit_code == 1
    assert "celeryctl runs" in told.value.fix or "celeryctl users list" in told.value.fix


def test_a_number_that_is_a_user_and_begins_a_run_is_not_guessed(desk: Desk) -> None:
    statement = "INSERT INTO users (id, external_id, name, username, email) VALUES (12345678, 1, 'n', 'u', 'e')"
    ended = """INSERT INTO runs (id, dataset, trigger, status, page_size, batch_size)
      VALUES ('12345678-0000-4000-8000-000000000000', 'users', 'test', 'succeeded', 1, 1)"""
    with transaction():
        services.database.execute_sql(ended)
    assert desk.why("12345678").subject == "run 12345678 of users"
    with transaction():
        services.database.execute_sql(statement)
    with pytest.raises(UsageError, match="may be user 12345678 or run 12345678"):
        desk.why("12345678")
    assert desk.why("12345678-0").subject == "run 12345678 of users"


def test_a_short_number_is_a_user_whatever_runs_begin_with(desk: Desk) -> None:
    (user,) = people(1)
    ended = """INSERT INTO runs (id, dataset, trigger, status, page_size, batch_size)
      VALUES (%s, 'users', 'test', 'succeeded', 1, 1)"""
    with transaction():
        services.database.execute_sql(ended, (f"{user:0<8}-0000-4000-8000-000000000000",))
    assert desk.why(user).subject == f"user {user}"


@pytest.mark.slow
def test_a_task_behind_a_stopped_worker_is_stuck_and_its_worker_named(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(sources(users=400, latency=1))
        variables = settings(database_url, redis_url, tmp_path, api=api, BATCH_SIZE="100")
        read = context(variables, tmp_path)
        services.use(read)
        only = stack.enter_context(worker(tmp_path / "log", variables, "-n", "only@%h"))
        stack.enter_context(process(["celeryctl", "beat"], tmp_path / "beat.log", variables))
        desk = Desk(stack.enter_context(create_app(read)), read)
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        everybody = [psutil.Process(only.pid), *psutil.Process(only.pid).children(recursive=True)]
        for one in everybody:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            opened = desk.open("users")
            eventually(lambda: desk.why(opened.run.id).state == "stuck", within=40)
            assert_says(desk.why(opened.run.id), "stuck", "No worker is alive", r"only@.* has said nothing for \d+ s")
        finally:
            for one in everybody:
                os.kill(one.pid, signal.SIGCONT)
        eventually(lambda: desk.why(opened.run.id).state == "succeeded", within=40)
    services.use(None)


def test_what_a_stranger_put_into_the_broker_does_not_move_the_cursor() -> None:
    evil = "dead\x1b]0;owned\x07"
    out = io.StringIO()
    Console(file=out, color_system=None).print(views.render(Verdict(f"task {evil}", "queued", (evil,), evil)))
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()
