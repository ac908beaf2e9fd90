"""What waits in the broker, and how an absent broker is told."""

import logging
from pathlib import Path

import pytest

from celeryctl.cluster import queues
from celeryctl.cluster.app import App, create_app
from celeryctl.cluster.publish import announce
from celeryctl.errors import BrokerUnreachableError

from .kit import context, settings

pytestmark = pytest.mark.integration

NO_DATABASE = "postgresql://127.0.0.1:1/nowhere"


def app(redis_url: str, folder: Path) -> App:
    return create_app(context(settings(NO_DATABASE, redis_url, folder), folder))


def test_messages_of_every_priority_are_counted(redis_url: str, tmp_path: Path) -> None:
    with app(redis_url, tmp_path) as one:
        announce(one, range(3))
        for priority in (3, 6, 9):
            one.send_task("celeryctl.batch", args=[1], priority=priority)
        assert queues.depth(one.context.settings) == (6, 0)


def test_messages_that_a_consumer_holds_are_counted_apart(redis_url: str, tmp_path: Path) -> None:
    with app(redis_url, tmp_path) as one, one.connection_for_read() as connection:
        announce(one, range(3))
        message = connection.default_channel.basic_get("celery")
        assert message is not None
        assert queues.depth(one.context.settings) == (2, 1)
        message.ack()
        assert queues.depth(one.context.settings) == (2, 0)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:1/x"])
def test_a_broker_that_does_not_answer_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(BrokerUnreachableError) as caught, queues.broker(url) as client:
        client.ping()
    assert (caught.value.exit_code, caught.value.what) == (69, "the broker does not answer")
    assert caught.value.why


def test_the_password_of_a_broker_that_refuses_it_is_not_told(redis_url: str) -> None:
    wrong = redis_url.replace(redis_url.rpartition("@")[0], "redis://:geheim")
    with pytest.raises(BrokerUnreachableError) as caught, queues.broker(wrong) as client:
        client.ping()
    assert "geheim" not in f"{caught.value} {caught.value.fix}"


def test_where_no_broker_is_known_up_is_named(tmp_path: Path) -> None:
    one = context({**settings(NO_DATABASE, "redis://127.0.0.1:1", tmp_path), "REDIS_URL": ""}, tmp_path)
    with pytest.raises(BrokerUnreachableError) as caught:
        queues.check(one.settings)
    assert caught.value.fix == "celeryctl up"


def test_announcing_stops_at_the_first_that_the_broker_does_not_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with app("redis://127.0.0.1:1/0", tmp_path) as one:
        announce(one, [1, 2, 3])
    assert [message.partition(":")[0] for message in caplog.messages] == ["batch 1 is announced later"]


def test_a_broker_without_room_is_told_like_one_that_is_away(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with app(redis_url, tmp_path) as one, queues.broker(redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            announce(one, [1, 2])
        finally:
            client.config_set("maxmemory", "0")
    assert [message.partition(":")[0] for message in caplog.messages] == ["batch 1 is announced later"]
