"""Workers that do not work."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.kit import rows, settings, value, worker
from servers import KEY
from waiting import eventually

from celeryctl.storage import letters
from celeryctl.storage.database import database, session

from .kit import look

pytestmark = pytest.mark.integration

Deliver = Callable[..., int]
ALIVE = "INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('a@h', now(), 0, 1, 1)"


@pytest.fixture(autouse=True)
def named(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the tests, as those that settings name."""
    for name, url in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CARD_ENCRYPTION_KEYS": KEY}.items():
        monkeypatch.setenv(name, url)


def execute(statement: str) -> None:
    with session():
        database.execute_sql(statement)


def test_messages_that_were_set_aside_are_told_for_a_day(database_url: str) -> None:
    assert look("messages").state == "ok"
    for reason in ("first", "last"):
        letters.write(database_url, [letters.DeadLetter(reason, "task", "id", "origin", 1)], worker="a@h")
    assert look("messages").why == "2 set aside within a day, the last one: last"
    execute("UPDATE dead_letters SET at = now() - interval '25 hours'")
    assert look("messages").state == "ok"


@pytest.mark.parametrize(
    ("active", "concurrency", "state"),
    [(0, 1, "failed"), (2, 2, "failed"), (1, 1, "warning")],
    ids=["idle", "busy", "perhaps a solo worker at work"],
)
def test_a_worker_that_shows_itself_and_takes_nothing_is_told(active: int, concurrency: int, state: str) -> None:
    execute(ALIVE.replace("0, 1, 1", f"{active}, {concurrency}, 1"))
    found = look("consuming")
    assert found.state == state
    assert found.why.startswith("a@h: alive, but ")


@pytest.mark.slow
def test_a_worker_that_works_is_well_and_one_that_stands_still_is_not(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with worker(tmp_path / "log", settings(database_url, redis_url, tmp_path)) as one:
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        assert look("workers").state == look("consuming").state == "ok"
        assert look("consuming").why == "celery"
        os.kill(one.pid, signal.SIGSTOP)
        try:
            execute("UPDATE workers SET seen_at = now() + interval '1 minute'")
            assert look("consuming").why.endswith("alive, but does not consume")
        finally:
            os.kill(one.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_queue_that_nobody_takes_from_is_told(database_url: str, redis_url: str, tmp_path: Path) -> None:
    variables = settings(database_url, redis_url, tmp_path)
    with worker(tmp_path / "log", variables, "-Q", "other"):
        eventually(lambda: rows("SELECT name FROM workers"))
        found = look("consuming")
    assert (found.state, found.why) == ("failed", "nobody consumes the queue celery")
