"""What `stats` shows: a part whose service is away is None, with its reason."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celeryctl import services
from celeryctl.cluster.app import create_app
from celeryctl.cluster.overview import FROM_DATABASE, TOTALS, collect
from celeryctl.cluster.publish import announce
from celeryctl.storage import database as db
from celeryctl.storage import heartbeat
from celeryctl.storage.database import session
from celeryctl.storage.runs import Order
from celeryctl.storage.user import User

from .kit import context, settings

pytestmark = pytest.mark.integration

Collect = Callable[..., dict[str, Any]]


@pytest.fixture
def collected(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Collect]:
    """Collect with these settings, as a command does."""

    def with_settings(database: str = database_url, broker: str = redis_url) -> dict[str, Any]:
        for name, value in settings(database, broker, tmp_path).items():
            monkeypatch.setenv(name, value)
        services.use(None)
        db.configure(database)
        return collect()

    yield with_settings
    services.use(None)


def test_everything_is_there_when_everything_answers(
    collected: Collect, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with session():
        User.create(external_id=1, name="n", username="u", email="e")
    heartbeat.beat(database_url, name="celery@here", active=1, concurrency=2, rss=3)
    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        opened = app.pipeline.open(Order(dataset="users", trigger="test"))
        assert opened is not None
        announce(app, opened.batches)
    document = collected()
    assert document["problems"] == []
    assert set(document) == {*FROM_DATABASE, "queues", "problems"}
    assert document["total_users"] == 1
    (queue,) = document["queues"]
    assert (queue["name"], queue["waiting"], queue["unacked"]) == ("celery", 1, 0)
    assert queue["oldest_seconds"] >= 0
    (worker,) = document["workers"]
    assert worker.pop("heartbeat_age_seconds") < 15
    assert abs(worker.pop("skew_seconds")) < 5
    assert worker == {"name": "celery@here", "alive": True, "active": 1, "concurrency": 2, "rss_bytes": 3}
    assert [(one["name"], one["state"], one["last_ok"], one["budget"]) for one in document["sources"]] == [
        (name, "unknown", None, None) for name in ("users", "addresses", "credit_cards")
    ]


def test_sources_are_ok_or_failing_or_cooling_as_they_answered_last(collected: Collect) -> None:
    from celeryctl.storage import sources

    sources.answered("users")
    sources.answered("addresses")
    sources.failed("addresses", "no answer")
    for _ in range(3):
        sources.failed("credit_cards", "429")
    states = {one["name"]: (one["state"], one["last_ok"] is not None) for one in collected()["sources"]}
    assert states == {"users": ("ok", True), "addresses": ("failing", True), "credit_cards": ("cooling", False)}
    (cards,) = (one for one in collected()["sources"] if one["name"] == "credit_cards")
    assert cards["failures"] == 3
    assert cards["asks_again_at"] > collected()["at"]
    sources.answered("credit_cards")
    assert {one["name"]: one["state"] for one in collected()["sources"]}["credit_cards"] == "ok"


def test_without_a_database_its_parts_are_none_and_the_queue_is_still_there(collected: Collect) -> None:
    document = collected(database="postgresql://127.0.0.1:1/nowhere")
    assert {document[name] for name in FROM_DATABASE} == {None}
    assert [queue["waiting"] for queue in document["queues"]] == [0]
    (problem,) = document["problems"]
    assert problem.startswith("the database does not answer: ")


def test_without_a_broker_the_queues_are_none_and_the_rest_is_there(collected: Collect) -> None:
    document = collected(broker="redis://127.0.0.1:1/0")
    assert document["queues"] is None
    assert {document[name] for name in TOTALS} == {0}
    (problem,) = document["problems"]
    assert problem.startswith("the broker does not answer: ")


def test_without_both_there_are_two_problems(collected: Collect) -> None:
    document = collected("postgresql://127.0.0.1:1/nowhere", "redis://127.0.0.1:1/0")
    assert len(document["problems"]) == 2
    assert {value for name, value in document.items() if name != "problems"} == {None}
