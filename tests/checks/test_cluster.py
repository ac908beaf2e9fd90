"""Messages that nobody holds, and workers that do not work."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from cluster.kit import rows, settings, sources, value, worker
from servers import KEY
from waiting import eventually

from celeryctl.cluster import inspection
from celeryctl.cluster.app import App, create_app
from celeryctl.cluster.publish import announce
from celeryctl.pipeline.context import Context
from celeryctl.storage.database import database, session
from celeryctl.storage.runs import Order

from .kit import look, mend

pytestmark = pytest.mark.integration

Deliver = Callable[..., int]
ALIVE = "INSERT INTO workers (name, seen_at, active, concurrency, rss) VALUES ('a@h', now(), 0, 1, 1)"


@pytest.fixture(autouse=True)
def named(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the tests, as those that settings name."""
    for name, url in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CARD_ENCRYPTION_KEYS": KEY}.items():
        monkeypatch.setenv(name, url)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def app() -> Iterator[App]:
    with create_app(Context.read()) as app:
        yield app


@pytest.fixture
def deliver(app: App, client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deliver]:
    """Announce a batch and take its message, as a worker that then dies; so many seconds ago. Returns the batch."""
    monkeypatch.setattr(inspection, "TIMEOUT", 0.2)  # nobody is there to answer
    with app.connection_for_read() as connection:

        def take(batch_id: int | None = None, *, ago: float = 60) -> int:
            if batch_id is None:
                opened = app.pipeline.open(Order(dataset="users", trigger="test"))
                assert opened is not None
                (batch_id,) = opened.batches
            announce(app, [batch_id])
            assert connection.default_channel.basic_get("celery") is not None
            age(client, ago)
            return batch_id

        yield take
        client.flushdb()  # or closing would put back what the tests have left


def age(client: Any, seconds: float) -> None:
    """Everything was delivered so many seconds ago."""
    for tag in client.hkeys("unacked"):
        client.zadd("unacked_index", {tag: client.time()[0] - seconds})


def execute(statement: str) -> None:
    with session():
        database.execute_sql(statement)


def depths(client: Any) -> tuple[int, int]:
    return client.llen("celery"), client.hlen("unacked")


@pytest.mark.parametrize("batch", [None, 999_999], ids=["an open batch", "one that is done"])
def test_a_message_whose_worker_is_gone_is_put_back(deliver: Deliver, client: Any, batch: int | None) -> None:
    assert look("messages").state == "ok"
    deliver(batch)
    found = look("messages")
    assert (found.state, found.fix) == ("warning", "celeryctl doctor --fix")
    assert found.why == "1 were delivered and no worker has them"
    assert depths(client) == (0, 1)
    assert mend("messages") == "1 put back into the queue"
    assert depths(client) == (1, 0)
    assert (look("messages").state, mend("messages")) == ("ok", "")


def test_a_message_without_a_place_in_the_index_is_put_back_too(deliver: Deliver, client: Any) -> None:
    deliver()
    client.delete("unacked_index")
    assert mend("messages") == "1 put back into the queue"
    assert depths(client) == (1, 0)


def test_a_message_whose_batch_is_being_done_is_left_alone(deliver: Deliver, client: Any) -> None:
    batch = deliver()
    execute(f"UPDATE batches SET token = 1, due = now() + interval '1 minute' WHERE id = {batch}")
    assert (look("messages").state, mend("messages")) == ("ok", "")
    execute(f"UPDATE batches SET due = now() - interval '1 second' WHERE id = {batch}")
    assert look("messages").state == "warning"


def test_a_message_that_was_delivered_just_now_is_left_alone(deliver: Deliver, client: Any) -> None:
    deliver(ago=3)
    assert (look("messages").state, mend("messages")) == ("ok", "")
    assert depths(client) == (0, 1)


def test_nobody_can_tell_while_a_worker_that_lives_says_nothing(deliver: Deliver, client: Any) -> None:
    deliver()
    execute(ALIVE)
    found = look("messages")
    assert found.state == "failed"
    assert "a@h does not say what it holds" in found.why
    assert depths(client) == (0, 1)


def test_what_is_no_batch_is_left_alone(client: Any, app: App) -> None:
    of_batch = b'"headers": {"id": 1, "task": "celeryctl.batch"}}]'
    strange = [b"", b"[", b"null", b"[]", b"[{}]", b'[{"body": 1, ' + of_batch, b'[{"body": "W1tdXQ==", ' + of_batch]
    for tag, raw in enumerate(strange):
        client.hset("unacked", str(tag), raw)
    with app.connection_for_read() as connection:
        app.send_task("celeryctl.fetch.users")
        app.send_task("somebody.else", args=[1])
        assert all(connection.default_channel.basic_get("celery") for _ in range(2))
        age(client, 60)
        assert (look("messages").state, mend("messages")) == ("ok", "")
        client.flushdb()


def test_no_more_are_put_back_than_are_looked_at(
    deliver: Deliver, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeryctl.cluster.orphans.MOST", 2)
    for batch in (1, 2, 3):
        deliver(batch)
    assert mend("messages") == "2 put back into the queue"
    assert depths(client) == (2, 1)


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
def test_a_worker_that_works_is_well_and_keeps_its_messages(
    database_url: str, redis_url: str, client: Any, tmp_path: Path, app: App
) -> None:
    with (
        sources(latency=8) as api,
        worker(tmp_path / "log", settings(database_url, redis_url, tmp_path, api=api)) as one,
    ):
        eventually(lambda: value("SELECT count(*) FROM workers") == 1)
        assert look("workers").state == look("consuming").state == "ok"
        assert look("consuming").why == "celery"
        app.send_task("celeryctl.fetch.users")
        eventually(lambda: value("SELECT count(*) FROM batches WHERE token IS NOT NULL") == 1)
        execute("DELETE FROM runs")  # as far as the ledger knows, nobody works on it
        age(client, 60)
        assert (look("messages").state, mend("messages")) == ("ok", "")
        assert depths(client) == (0, 1)
        os.kill(one.pid, signal.SIGSTOP)
        try:
            execute("UPDATE workers SET seen_at = now() + interval '1 minute'")
            assert look("consuming").why.endswith("alive, but does not consume")
            assert look("messages").state == "failed"
        finally:
            os.kill(one.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_queue_that_nobody_takes_from_is_told(database_url: str, redis_url: str, tmp_path: Path) -> None:
    variables = settings(database_url, redis_url, tmp_path)
    with worker(tmp_path / "log", variables, "-Q", "other"):
        eventually(lambda: rows("SELECT name FROM workers"))
        found = look("consuming")
    assert (found.state, found.why) == ("failed", "nobody consumes the queue celery")
