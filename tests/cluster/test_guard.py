"""Whatever is in the queue, the worker lives, takes the next good message, and what is none is set aside."""

import base64
import datetime
import gzip
import json
import pickle
import uuid
import zlib
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

from .kit import Process, context, rows, settings, sources, value, worker

FETCH = "celeryctl.fetch.users"
GOOD = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def encoded(body: Any) -> str:
    return base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()


def message(body: Any = GOOD, *, without: str = "", **changes: Any) -> bytes:
    """A message as Celery writes one, with changes: to its headers, or with ``envelope_`` or ``properties_`` before."""
    tag = str(uuid.uuid4())
    headers = {"lang": "py", "task": FETCH, "id": tag, "root_id": tag, "timelimit": [None, None], "retries": 0}
    headers |= {"argsrepr": "[]", "kwargsrepr": "{}", "origin": "somebody@somewhere", "eta": None, "expires": None}
    info = {"exchange": "", "routing_key": "celery"}
    properties = {"correlation_id": tag, "delivery_mode": 2, "delivery_info": info, "priority": 0}
    properties |= {"body_encoding": "base64", "delivery_tag": tag, "reply_to": ""}
    whole = {"body": body if isinstance(body, str) else encoded(body), "content-encoding": "utf-8"}
    whole |= {"content-type": "application/json", "headers": headers, "properties": properties}
    for name, change in changes.items():
        part, _, key = name.rpartition("__")
        {"envelope": whole, "properties": properties}.get(part, headers)[key] = change
    for place in (whole, headers, properties):
        place.pop(without, None)
    return json.dumps(whole).encode()


class Bad(NamedTuple):
    name: str
    raw: bytes


def of_type(name: str, content: Any) -> str:
    return json.dumps({"__type__": name, "__value__": content})


BOMB = zlib.compress(b"[" + b" " * 300_000_000 + b"]")

BAD = [
    Bad("nothing", b""),
    Bad("not JSON", b"certainly not JSON"),
    Bad("not UTF-8", b"\xff\xfe\x00"),
    Bad("a half", message()[:100]),
    Bad("a number", b"1"),
    Bad("null", b"null"),
    Bad("a list", b"[]"),
    Bad("an empty object", b"{}"),
    Bad("nested", b"[" * 100_000),
    Bad("a type that is none", message().replace(b'"py"', of_type("uuid", 1).encode())),
    Bad("a decimal that is none", message().replace(b'"py"', of_type("decimal", "x").encode())),
    Bad("no headers", message(without="headers")),
    Bad("headers that are none", message(envelope__headers=[1])),
    Bad("no properties", message(without="properties")),
    Bad("no delivery tag", message(without="delivery_tag")),
    Bad("a delivery tag that is none", message(properties__delivery_tag={"a": 1})),
    Bad("no delivery info", message(without="delivery_info")),
    Bad("no id", message(without="id")),
    Bad("an id that is none", message(id=[1])),
    Bad("no task", message(without="task")),
    Bad("a task that is none", message(task={"a": 1})),
    Bad("an unknown task", message(task="os.system")),
    Bad("no body", message(without="body")),
    Bad("a null body", message(envelope__body=None)),
    Bad("an empty body", message("")),
    Bad("bad base64", message("%%%")),
    Bad("a body that is no JSON", message(b"\x80")),
    Bad("a body that is null", message(None)),
    Bad("a body that is no list", message({"args": []})),
    Bad("a body of two", message([[], {}])),
    Bad("a body of four", message([[], {}, None, 1])),
    Bad("arguments that are none", message(["x", {}, None])),
    Bad("a body nested", message(b"[" * 100_000)),
    Bad("a body too long", message([["x" * envelope.LONGEST], {}, None])),
    Bad("bad callbacks", message([[], {}, {"callbacks": 1}])),
    Bad("a bad time limit", message(timelimit=[1])),
    Bad("a time limit that is none", message(timelimit="soon")),
    Bad("a bad eta", message(eta=17)),
    Bad("an eta that is no time", message(eta="tomorrow")),
    Bad("a bad expiry", message(expires="never")),
    Bad("bad retries", message(retries="x")),
    Bad("bad stamps", message(stamped_headers=1)),
    Bad("pickle", message(pickle.dumps(GOOD), **{"envelope__content-type": "application/x-python-serialize"})),
    Bad("yaml", message(b"[[], {}, {}]", **{"envelope__content-type": "application/x-yaml"})),
    Bad("another character set", message(**{"envelope__content-encoding": "utf-16"})),
    Bad("an unknown encoding of the body", message(properties__body_encoding="rot13")),
    Bad("300 MB when unpacked", message(BOMB, compression="application/zlib")),
    Bad("gzip", message(gzip.compress(json.dumps(GOOD).encode()), compression="application/x-gzip")),
    Bad("the old protocol", message({"task": FETCH, "id": "1", "args": [], "kwargs": {}}, without="task")),
]  # fmt: skip


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
    assert rig.app.control.ping(timeout=2)
    assert rig.worker.end() == 0


@pytest.mark.integration
@pytest.mark.slow
def test_a_dead_letter_keeps_no_secret(rig: Rig) -> None:
    number = "1234-2121-1221-1211"
    rig.client.lpush("celery", message([number], task=f"pay {number}", origin=number, timelimit=number))
    eventually(lambda: rows("SELECT task, origin FROM dead_letters") == [("pay ****", "****")])
    assert number not in rig.worker.text
    assert number not in str(rows("SELECT d::text FROM dead_letters d"))
