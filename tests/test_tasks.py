"""The tasks in a real worker: what it stores, what it drops, and what it survives."""

import base64
import json
import pickle
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from cluster.kit import Process, context, empty, process, run, settings, sources, value, worker
from waiting import eventually

from celeryctl.cluster.app import App, create_app
from celeryctl.cluster.signals import Pulse
from celeryctl.cluster.tasks import _discreet
from celeryctl.errors import CeleryctlError, DatabaseUnreachableError, SourceUnreachableError
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.logs import TextFormatter
from celeryctl.storage import database as db
from celeryctl.storage.runs import Order

pytestmark = pytest.mark.integration

STATUS = "SELECT status FROM runs WHERE dataset = %s ORDER BY started_at DESC LIMIT 1"
OPEN = "SELECT count(*) FROM runs WHERE status = 'running'"


@dataclass
class Cluster:
    app: App
    worker: Process
    variables: dict[str, str]
    folder: Path

    def fetch(self, dataset: str, **options: Any) -> None:
        """Send the task by its name and wait until its run is over."""
        before = value("SELECT count(*) FROM runs")
        self.app.send_task(f"celeryctl.fetch.{dataset}", kwargs=options)
        eventually(lambda: value("SELECT count(*) FROM runs") > before and value(OPEN) == 0)


@pytest.fixture(scope="module")
def running(migrated: str, valkey_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A worker for the module, on its own local sources."""
    folder = tmp_path_factory.mktemp("worker")
    with closing(redis.Redis.from_url(valkey_server)) as client:
        client.flushdb()
    with ExitStack() as stack:
        variables = settings(migrated, valkey_server, folder, api=stack.enter_context(sources()))
        db.configure(migrated)
        started = stack.enter_context(worker(folder / "worker.log", variables))
        app = stack.enter_context(create_app(context(variables, folder)))
        yield Cluster(app, started, variables, folder)
    db.close()


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The module's worker with empty tables."""
    db.configure(running.variables["DATABASE_URL"])
    empty()
    return running


def test_tasks_by_their_names_store_everything(cluster: Cluster) -> None:
    for dataset, table in (("users", "users"), ("addresses", "addresses"), ("credit_cards", "credit_cards")):
        cluster.fetch(dataset)
        assert value(STATUS, dataset) == "succeeded"
        assert value(f"SELECT count(*) FROM {table}") == 10
    assert value("SELECT bool_and(card_number LIKE 'v1.%%') FROM credit_cards")
    assert value("SELECT array_agg(DISTINCT trigger) FROM runs") == ["task"]


def test_a_limit_goes_with_the_message(cluster: Cluster) -> None:
    cluster.fetch("users", limit=3)
    assert value("SELECT count(*) FROM users") == 3


def test_a_limit_that_is_none_opens_no_run(cluster: Cluster) -> None:
    said = len(cluster.worker.text)
    for number, limit in enumerate((0, -1, "abc", True, 2**63), 1):
        cluster.app.send_task("celeryctl.fetch.users", kwargs={"limit": limit})
        eventually(lambda number=number: cluster.worker.text[said:].count("a limit is a whole number") == number)
    assert value("SELECT count(*) FROM runs") == 0
    assert "Traceback" not in cluster.worker.text[said:]


def test_a_second_message_and_one_of_an_unknown_batch_change_nothing(cluster: Cluster) -> None:
    cluster.fetch("users")
    said = len(cluster.worker.text)
    before = value("SELECT array_agg(r ORDER BY id) FROM runs r"), value("SELECT array_agg(u ORDER BY id) FROM users u")
    last = value("SELECT last_value FROM batches_id_seq")
    for batch in (last, last, 10**12, "text", None):
        cluster.app.send_task("celeryctl.batch", args=[batch])
    eventually(lambda: "batch=text" in cluster.worker.text[said:])
    eventually(lambda: empty_queue(cluster))
    after = value("SELECT array_agg(r ORDER BY id) FROM runs r"), value("SELECT array_agg(u ORDER BY id) FROM users u")
    assert after == before
    assert "Traceback" not in cluster.worker.text[said:]


def empty_queue(cluster: Cluster) -> bool:
    with closing(redis.Redis.from_url(cluster.variables["REDIS_URL"])) as client:
        return not client.llen("celery") and not client.hlen("unacked")


def test_a_message_that_is_not_json_is_set_aside_and_the_worker_lives_on(cluster: Cluster) -> None:
    told = "a message is set aside: Invalid enum value 'binary' - at `$.content-encoding`"
    before = cluster.worker.text.count(told)
    cluster.app.send_task("celeryctl.batch", args=[1], serializer="pickle")
    cluster.worker.assert_says(told, times=before + 1)
    cluster.fetch("users")
    assert value(STATUS, "users") == "succeeded"


def test_events_are_on(cluster: Cluster) -> None:
    seen: list[str] = []
    with cluster.app.connection_for_read() as connection:
        receiver = cluster.app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["type"])})

        def capture() -> None:
            for _ in receiver.consume(limit=None, timeout=20, wakeup=False):
                if {"task-sent", "task-received", "task-started", "task-succeeded"} <= set(seen):
                    return

        thread = threading.Thread(target=capture)
        thread.start()
        while thread.is_alive():  # events before the receiver listens are lost
            cluster.app.send_task("celeryctl.batch", args=[1])
            thread.join(0.1)
    assert {"task-sent", "task-received", "task-started", "task-succeeded"} <= set(seen)


def test_celerys_own_commands_work(cluster: Cluster) -> None:
    pong = run(cluster.variables, cluster.folder, "-A", "celeryctl", "inspect", "ping", program="celery")
    assert (pong.returncode, "pong" in pong.stdout) == (0, True)
    call = run(cluster.variables, cluster.folder, "-A", "celeryctl", "call", "celeryctl.fetch.users", program="celery")
    assert call.returncode == 0
    eventually(lambda: value("SELECT count(*) FROM users") == 10 and value(OPEN) == 0)


@pytest.mark.slow
def test_a_celery_py_in_the_working_folder_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "celery.py").write_text("raise SystemExit('the wrong celery')\n")
    with process(["celeryctl", "worker", "-c", "1", "-n", "second@%h"], tmp_path / "log", cluster.variables) as second:
        second.assert_says(" ready.")
        eventually(lambda: value("SELECT count(*) FROM workers WHERE name LIKE 'second@%%'") == 1)
        assert value("SELECT concurrency FROM workers WHERE name LIKE 'second@%%'") == 1
        assert value("SELECT rss FROM workers WHERE name LIKE 'second@%%'") > 2**24
        assert second.end() == 0
    assert value("SELECT count(*) FROM workers WHERE name LIKE 'second@%%'") == 0


@pytest.mark.parametrize("error", [DatabaseUnreachableError("gone"), psutil.AccessDenied(1)])
def test_a_heartbeat_that_fails_is_not_the_last_one(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Pool:
        """Fails when it is asked first."""

        asked = 0

        @property
        def num_processes(self) -> int:
            self.asked += 1
            if self.asked == 1:
                raise error
            return 2

    monkeypatch.setattr("celeryctl.cluster.signals.PULSE", 0.05)
    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        pulse = Pulse(app)
        pulse.start("one@here", Pool())
        eventually(lambda: value("SELECT count(*) FROM workers WHERE name = 'one@here'") == 1)
        pulse.stop()
    assert value("SELECT count(*) FROM workers WHERE name = 'one@here'") == 0


def test_an_order_waits_in_the_broker_while_the_database_is_away(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    class Away:
        asked = 0

        def open(self, order: Order) -> None:
            self.asked += 1
            if self.asked < 3:
                raise DatabaseUnreachableError

    with create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) as app:
        app.__dict__["pipeline"] = away = Away()
        assert app.tasks["celeryctl.fetch.users"].apply().state == "SUCCESS"
    assert away.asked == 3


def test_two_apps_of_a_process_have_tasks_of_their_own(database_url: str, redis_url: str, tmp_path: Path) -> None:
    one, two = (create_app(context(settings(database_url, redis_url, tmp_path), tmp_path)) for _ in range(2))
    with one, two:
        assert one.tasks["celeryctl.batch"].run is not two.tasks["celeryctl.batch"].run
        assert two.tasks["celeryctl.fetch.users"].app is two


def test_a_batchs_message_holds_its_id_only(database_url: str, redis_url: str, tmp_path: Path) -> None:
    server, _, number = redis_url.rpartition("/")
    aside = f"{server}/{int(number) + 1}"  # where no worker listens
    variables = settings(database_url, aside, tmp_path)
    with create_app(context(variables, tmp_path)) as app, closing(redis.Redis.from_url(aside)) as client:
        app.tasks["celeryctl.fetch.users"]()
        (message,) = client.lrange("celery", 0, -1)
    envelope = json.loads(message)
    assert (envelope["headers"]["task"], envelope["content-type"]) == ("celeryctl.batch", "application/json")
    args, kwargs, _ = json.loads(base64.b64decode(envelope["body"]))
    assert (args, kwargs) == ([value("SELECT id FROM batches")], {})


def test_an_error_comes_whole_from_the_process_that_raised_it() -> None:
    sent = SourceUnreachableError("What", why="Why", fix="Fix")
    sent.retry_after = 5.0
    come = pickle.loads(pickle.dumps(sent))
    assert type(come) is SourceUnreachableError
    assert (come.what, come.why, come.fix, come.exit_code, come.retry_after) == ("What", "Why", "Fix", 69, 5.0)


def test_of_what_nobody_foresaw_only_its_kind_goes_on_to_celery(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CeleryctlError, match="batch 7 ended unexpectedly: KeyError") as caught, _discreet("batch 7"):
        raise KeyError(CARD_NUMBERS[0])
    told = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert CARD_NUMBERS[0] not in told
    (said,) = caplog.records
    assert "KeyError: '****'" in TextFormatter().format(said)
    with pytest.raises(DatabaseUnreachableError), _discreet("batch 8"):
        raise DatabaseUnreachableError
