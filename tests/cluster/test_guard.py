"""Whatever is in the queue, the worker lives, takes the next good message, and what is none is set aside."""

import datetime
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from waiting import eventually

from celeryctl.cluster import envelope
from celeryctl.cluster.app import App, create_app
from celeryctl.storage import letters

from .bad import BAD, FETCH, Bad, message
from .kit import Process, context, rows, settings, sources, value, worker


@pytest.mark.unit
@pytest.mark.parametrize("bad", BAD, ids=[one.name for one in BAD])
def test_what_is_no_message_is_told_with_its_reason(bad: Bad) -> None:
    found, fault = envelope.read(bad.raw)
    # Times are left to Celery; what tasks there are depends on the worker.
    if bad.name not in ("an eta that is no time", "a bad expiry", "an unknown task"):
        assert fault
        assert "\n" not in fault
    assert envelope.header(found, "task") in (FETCH, "os.system", None)


@pytest.mark.unit
def test_what_celery_writes_passes() -> None:
    in_a_minute = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)).isoformat()
    for raw in (message(), message([[1], {"limit": 2}, None]), message(eta=in_a_minute, expires=in_a_minute)):
        assert envelope.read(raw)[1] is None


class Rig(NamedTuple):
    client: Any
    app: App
    worker: Process


@pytest.fixture(params=["prefork", "solo"])
def rig(request: pytest.FixtureRequest, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Rig]:
    """A worker at work, and its queue."""
    with ExitStack() as stack:
        api = stack.enter_context(sources())
        variables = settings(database_url, redis_url, tmp_path, api=api)
        client = stack.enter_context(closing(redis.Redis.from_url(redis_url)))
        app = stack.enter_context(create_app(context(variables, tmp_path)))
        yield Rig(client, app, stack.enter_context(worker(tmp_path / "log", variables, "-P", request.param)))


def fetched(rig: Rig) -> None:
    """The next good task is done."""
    before = value("SELECT count(*) FROM runs")
    rig.app.send_task(FETCH)
    eventually(lambda: value("SELECT count(*) FROM runs WHERE status = 'succeeded'") == before + 1)


@pytest.mark.integration
@pytest.mark.slow
def test_a_worker_survives_whatever_is_in_the_queue(rig: Rig) -> None:
    for bad in BAD:
        rig.client.lpush("celery", bad.raw)
    fetched(rig)
    assert "Connection to broker lost" not in rig.worker.text
    eventually(lambda: value("SELECT count(*) FROM dead_letters") == len(BAD))
    assert (rig.client.llen("celery"), rig.client.hlen("unacked")) == (0, 0)
    told = rows("SELECT DISTINCT reason FROM dead_letters WHERE task = 'os.system'")
    assert told == [("no task of this worker has that name",)]
    assert rows("SELECT DISTINCT origin FROM dead_letters WHERE task_id <> ''") == [("somebody@somewhere",)]
    assert letters.recent() == (len(BAD), envelope.read(BAD[-1].raw)[1])
    assert rig.worker.end() == 0


@pytest.mark.integration
@pytest.mark.slow
def test_a_worker_survives_what_is_broadcast(rig: Rig) -> None:
    channel = f"/{rig.client.get_connection_kwargs()['db']}.celery.pidbox"
    bodies = [{"method": "no such thing"}, {"method": 1}, [1], "x", None, {}, {"method": "rate_limit", "arguments": 1}]
    noise = [one.raw for one in BAD] + [message(body, without="task") for body in bodies]
    eventually(lambda: rig.client.publish(channel, BAD[0].raw))  # somebody listens
    for raw in noise:
        rig.client.publish(channel, raw)
    fetched(rig)
    eventually(lambda: rig.app.control.ping(timeout=2))
    assert rig.worker.end() == 0


@pytest.mark.integration
@pytest.mark.slow
def test_a_dead_letter_keeps_no_secret(rig: Rig) -> None:
    number = "1234-2121-1221-1211"
    rig.client.lpush("celery", message([number], task=f"pay {number}", origin=number, timelimit=number))
    eventually(lambda: rows("SELECT task, origin FROM dead_letters") == [("pay ****", "****")])
    assert number not in rig.worker.text
    assert number not in str(rows("SELECT d::text FROM dead_letters d"))
