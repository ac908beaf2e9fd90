"""What a worker and beat log: lines of one form, and one for every batch."""

import json
import re
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from broker import Broker
from waiting import eventually

from celeryctl.cluster.app import create_app
from celeryctl.cluster.beat import TICK
from celeryctl.errors import DatabaseUnreachableError
from celeryctl.logs import Format, JsonFormatter
from celeryctl.storage import batches

from .kit import NOWHERE, Process, context, process, rows, settings, sources, value, worker

pytestmark = pytest.mark.integration

LINE = re.compile(r"(\S+Z) (\w+) +([\w.]+): (.*?)((?: \w+=\S+)*)")
ENDED = "SELECT count(*) FROM runs WHERE status <> 'running'"
LAST = "SELECT last_value FROM batches_id_seq"
FACTS = ("created", "updated", "unchanged", "rejected", "absent", "requests")


def read(started: Process, form: Format) -> list[dict[str, Any]]:
    """Its lines as documents. As JSON there may be no other line."""
    lines = [line for line in started.text.splitlines() if form == "json" or LINE.fullmatch(line)]
    return [json.loads(line) if form == "json" else parsed(line) for line in lines]


def parsed(line: str) -> dict[str, Any]:
    found = LINE.fullmatch(line)
    assert found
    facts = {name: whole(word) for name, word in (fact.split("=") for fact in found[5].split())}
    return {"time": found[1], "level": found[2], "logger": found[3], "message": found[4], **facts}


def whole(word: str) -> object:
    return int(word) if word.isdigit() and len(word) < 8 else word


def strike(started: Process) -> None:
    """Kill one of its pool's processes; another takes its place."""
    (first, *_) = psutil.Process(started.pid).children()
    first.kill()
    eventually(lambda: len([one for one in psutil.Process(started.pid).children() if one.pid != first.pid]) == 2)


@pytest.mark.parametrize(("form", "options"), [("json", ()), ("text", ("--pool=threads", "-l", "debug"))])
def test_every_batch_is_one_line_that_tells_whose_it_is_and_what_came_of_it(
    form: Format, options: tuple[str, ...], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    before = value("SELECT nextval('batches_id_seq')")
    with ExitStack() as stack:
        api = stack.enter_context(sources(40))
        variables = settings(database_url, redis_url, tmp_path, api=api, LOG_FORMAT=form, BATCH_SIZE="10")
        variables["CREDIT_CARDS_URL"] = f"{NOWHERE}/cards"
        one = stack.enter_context(worker(tmp_path / "worker.log", variables, *options))
        app = stack.enter_context(create_app(context(variables, tmp_path)))
        if not options:
            strike(one)
        for count, dataset in enumerate(("users", "addresses", "credit_cards"), 1):
            app.send_task(f"celeryctl.fetch.{dataset}")
            eventually(lambda count=count: value(ENDED) == count)  # type: ignore[misc]
        assert one.end() == 0
    lines = [line for line in read(one, form) if line["message"].startswith("batch ")]
    assert sorted(line["batch"] for line in lines) == list(range(before + 1, value(LAST) + 1))
    assert {(line["message"], line["level"]) for line in lines if line["dataset"] != "credit_cards"} == {
        ("batch finished", "INFO")
    }
    failed = [line for line in lines if line["dataset"] == "credit_cards"]
    assert {(line["level"], line["message"][:19]) for line in failed} == {("WARNING", "batch is given up: ")}
    runs = rows("SELECT id::text, dataset, created, updated, unchanged, rejected, absent, requests FROM runs")
    for run, dataset, *counts in runs:
        of_it = [line for line in lines if run.startswith(line["run"])]
        assert {line["dataset"] for line in of_it} == {dataset}
        if dataset != "credit_cards":
            assert [sum(line[name] for line in of_it) for name in FACTS] == counts
    assert all(line["attempt"] == 1 and line["task"] for line in lines)
    celerys = [line for line in read(one, form) if line["message"].startswith("Task celeryctl")]
    assert {line["level"] for line in celerys} == ({"DEBUG"} if options else set())
    if form == "json":
        assert {line["pid"] for line in lines} <= {line["pid"] for line in read(one, form)} - {one.pid}
        assert all(isinstance(line["seconds"], float) for line in lines if line["message"] == "batch finished")


# A batch that does not come to its end.
RAISING = """
from celeryctl.errors import *
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.lease import LostError
def fail(*_):
    raise {raised}
Pipeline._do = fail
"""


@pytest.mark.parametrize(
    ("raised", "level", "message"),
    [
        ("DatabaseUnreachableError('no')", "WARNING", "batch is tried again: no"),
        ("LostError", "INFO", "batch is no longer ours: its run was cancelled, or somebody else has it"),
        ("KeyError('a row')", "ERROR", "batch {id} ended unexpectedly"),
    ],
)
def test_a_batch_that_is_not_done_is_one_line_too(
    raised: str, level: str, message: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "raising.py").write_text(RAISING.format(raised=raised))
    variables = settings(database_url, redis_url, tmp_path, LOG_FORMAT="json", PYTHONPATH=str(tmp_path))
    with worker(tmp_path / "log", variables, "--include", "raising") as one:
        with create_app(context(variables, tmp_path)) as app:
            app.send_task("celeryctl.fetch.users")
        one.assert_says('"attempt": 1')
        assert one.end() == 0
    (line,) = [line for line in read(one, "json") if "batch" in line or line["level"] == "ERROR"]
    ((batch, run),) = rows("SELECT id, run_id::text FROM batches")
    assert (line["level"], line["message"]) == (level, message.format(id=batch))
    assert (line["run"], line["dataset"], line["batch"], line["attempt"]) == (run, "users", batch, 1)
    assert line["task"]
    assert ("traceback" in line) == (level == "ERROR")


def test_a_batch_that_cannot_be_taken_is_one_line_too(
    database_url: str, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachableError

    monkeypatch.setattr(batches, "claim", away)
    caplog.handler.setFormatter(JsonFormatter())
    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        app.tasks["celeryctl.batch"](7)
    (line,) = map(json.loads, caplog.text.splitlines())
    assert (line["level"], line["batch"]) == ("WARNING", 7)
    assert line["message"] == "batch cannot be taken: The database does not answer."


def test_a_batch_is_not_taken_without_the_key_that_it_needs(
    database_url: str, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    variables = settings(database_url, redis_url, tmp_path) | {"CARD_ENCRYPTION_KEYS": ""}
    with create_app(context(variables, tmp_path)) as app:
        app.tasks["celeryctl.batch"](7)
    (line,) = caplog.messages
    assert line.startswith("batch cannot be taken: CARD_ENCRYPTION_KEYS is not set: ")


def test_beat_tells_of_every_run_that_it_opens_and_of_nothing_else(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    variables = settings(database_url, redis_url, tmp_path, LOG_FORMAT="json")
    with process(["celeryctl", "beat"], tmp_path / "beat.log", variables) as beat:
        beat.assert_says("run opened", times=3)
        ticks = "SELECT extract(epoch FROM max(seen_at) - min(started_at)) FROM beats, runs"
        eventually(lambda: value(ticks) > 2 * TICK)
        assert beat.end() == 0
    lines = read(beat, "json")
    opened = {(line["run"], line["dataset"]) for line in lines if line["message"] == "run opened"}
    assert opened == set(rows("SELECT id::text, dataset FROM runs"))
    others = [line["message"] for line in lines if line["message"] != "run opened" and line["level"] == "INFO"]
    assert others == ["beat: Starting...", "beat active: opens the runs that are due"]


@pytest.mark.slow
def test_a_process_over_its_memory_is_replaced_after_its_batch_and_says_so(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(sources(30))
        variables = settings(database_url, redis_url, tmp_path, api=api, LOG_FORMAT="json", BATCH_SIZE="10")
        one = stack.enter_context(worker(tmp_path / "worker.log", variables, "--max-memory-per-child=1000"))
        app = stack.enter_context(create_app(context(variables, tmp_path)))
        for count, dataset in enumerate(("users", "addresses"), 1):
            app.send_task(f"celeryctl.fetch.{dataset}")
            eventually(lambda count=count: value(ENDED) == count, within=60)  # type: ignore[misc]
        assert one.end() == 0
    lines = read(one, "json")
    done = [line for line in lines if line["message"] == "batch finished"]
    assert len({line["batch"] for line in done}) == len(done)
    assert (sum(line["created"] for line in done), {line["attempt"] for line in done}) == (60, {1})
    assert rows("SELECT status, created, rejected FROM runs") == [("succeeded", 30, 0)] * 2
    told = [line for line in lines if "exceeding memory limit" in line["message"]]
    assert {line["level"] for line in told} == {"WARNING"}
    assert {line["pid"] for line in done} <= {line["pid"] for line in told}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "relief"),
    [("ACL SETUSER own -brpop", "ACL SETUSER own +brpop"), ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")],
    ids=["no right to take", "a replica"],
)
def test_a_broker_that_is_of_no_use_is_asked_after_pauses_and_taken_up_again(
    trouble: str, relief: str, database_url: str, tmp_path: Path
) -> None:
    broker = Broker(tmp_path, "user default reset on nopass ~* &* +@all", "user own on >own ~* &* +@all")
    broker.url = f"redis://own:own@127.0.0.1:{broker.port}/0"
    broker.start()
    with ExitStack() as stack:
        stack.callback(broker.stop)
        variables = settings(database_url, broker.url, tmp_path, api=stack.enter_context(sources()), LOG_FORMAT="json")
        one = stack.enter_context(worker(tmp_path / "worker.log", variables))
        admin = stack.enter_context(closing(redis.Redis(port=broker.port)))
        admin.execute_command(*trouble.split())
        eventually(lambda: len(losses(one)) >= 5)
        admin.execute_command(*relief.split())
        stack.enter_context(create_app(context(variables, tmp_path))).send_task("celeryctl.fetch.users")
        eventually(lambda: value("SELECT count(*) FROM users") == 10)
        assert one.end() == 0
    # The first one comes at once, where the connection had been good.
    pauses = [(then - now).total_seconds() for now, then in pairwise(losses(one))]
    assert [pause > number for number, pause in enumerate(pauses)] == [True] * len(pauses)
    assert len(read(one, "json")) < 25


def losses(one: Process) -> list[datetime]:
    """When it lost the broker, or met one of no use."""
    told = [line for line in read(one, "json") if re.search("broker lost|Cannot connect", line["message"])]
    return [datetime.fromisoformat(line["time"]) for line in told]
