"""Messages that were delivered and that nobody acknowledges."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from waiting import eventually

from celeryctl.cluster import orphans
from celeryctl.cluster.app import App, create_app
from celeryctl.cluster.publish import announce
from celeryctl.storage.database import database, session
from celeryctl.storage.runs import Order

from .kit import context, rows, settings, sources, value, worker

pytestmark = pytest.mark.integration

Deliver = Callable[..., int]


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def app(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[App]:
    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        yield app


@pytest.fixture
def deliver(app: App, client: Any) -> Iterator[Deliver]:
    """Announce a batch and take its message, as a worker that then dies; so many seconds ago. Returns the batch."""
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


def left(client: Any) -> tuple[int, int, int]:
    return client.llen("celery"), client.hlen("unacked"), client.zcard("unacked_index")


@pytest.mark.parametrize("batch", [None, 999_999], ids=["an open batch", "one that is done"])
def test_a_message_whose_worker_is_gone_is_dropped(deliver: Deliver, client: Any, app: App, batch: int | None) -> None:
    deliver(batch)
    assert orphans.sweep(app.context.settings) == 1
    assert left(client) == (0, 0, 0)
    assert orphans.sweep(app.context.settings) == 0


def test_a_message_without_a_place_in_the_index_is_dropped_too(deliver: Deliver, client: Any, app: App) -> None:
    deliver()
    client.delete("unacked_index")
    assert orphans.sweep(app.context.settings) == 1
    assert left(client) == (0, 0, 0)


def test_a_message_by_which_somebody_works_is_left_alone(deliver: Deliver, client: Any, app: App) -> None:
    batch = deliver()
    (task,) = [one.split(b'"id": "')[1].split(b'"')[0].decode() for one in client.hvals("unacked")]
    held = "UPDATE batches SET token = 1, task_id = %s, due = now() + interval %s WHERE id = %s"
    with session():
        database.execute_sql(held, (task, "1 minute", batch))
        assert orphans.sweep(app.context.settings) == 0
        database.execute_sql(held, (task, "-1 second", batch))
        assert orphans.sweep(app.context.settings) == 1
    assert left(client) == (0, 0, 0)


def test_a_message_whose_batch_another_one_brought_to_a_worker_is_dropped(
    deliver: Deliver, client: Any, app: App
) -> None:
    batch = deliver()
    with session():
        held = "UPDATE batches SET token = 1, task_id = 'another', due = now() + interval '1 minute' WHERE id = %s"
        database.execute_sql(held, (batch,))
    assert orphans.sweep(app.context.settings) == 1


def test_a_message_that_was_delivered_just_now_is_left_alone(deliver: Deliver, client: Any, app: App) -> None:
    deliver(ago=3)
    assert orphans.sweep(app.context.settings) == 0
    assert left(client) == (0, 1, 1)


def test_what_is_no_message_is_dropped_and_what_is_no_batch_is_left_alone(client: Any, app: App) -> None:
    of_batch = b'"headers": {"id": 1, "task": "celeryctl.batch"}}]'
    for tag, raw in enumerate([b"", b"[", b"null", b"[]", b"[{}]", b"\xff", b"[" * 100_000]):
        client.hset("unacked", str(tag), raw)
    client.hset("unacked", "no batch", b'[{"body": "W1tdXQ==", ' + of_batch)
    client.hset("unacked", "of an older protocol", b'[{"body": "e30=", "headers": {}}]')
    with app.connection_for_read() as connection:
        app.send_task("celeryctl.fetch.users")
        app.send_task("somebody.else", args=[1])
        assert all(connection.default_channel.basic_get("celery") for _ in range(2))
        age(client, 60)
        assert orphans.sweep(app.context.settings) == 6
        assert client.hlen("unacked") == 5
        client.flushdb()


@pytest.mark.slow
def test_a_worker_whose_messages_are_dropped_does_its_batches_all_the_same(
    database_url: str, redis_url: str, client: Any, tmp_path: Path, app: App
) -> None:
    with (
        sources(latency=4) as api,
        worker(tmp_path / "log", settings(database_url, redis_url, tmp_path, api=api)) as one,
    ):
        app.send_task("celeryctl.fetch.users")
        eventually(lambda: value("SELECT count(*) FROM batches WHERE token IS NOT NULL") == 1)
        client.delete("unacked", "unacked_index")
        eventually(lambda: value("SELECT count(*) FROM users") == 10)
        assert rows("SELECT status, created FROM runs") == [("succeeded", 10)]
        assert one.end() == 0
    assert "Traceback" not in one.text
