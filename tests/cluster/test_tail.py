"""Following runs, tasks and workers, while servers and workers come and go."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import redis
from broker import Broker, new_broker
from celery import Celery
from screen import terminal
from waiting import eventually

from celeryctl.storage import runs
from celeryctl.storage.database import session, transaction
from celeryctl.storage.ledger import Run

from .kit import Process, process, rows, run, settings, sources, value, worker

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass
class Cluster:
    """The variables of a cluster whose source takes its time, and its broker."""

    variables: dict[str, str]
    broker: Broker
    folder: Path
    stack: ExitStack

    def work(self, name: str = "w") -> Process:
        log = self.folder / f"{name}.log"
        return self.stack.enter_context(worker(log, self.variables, "-n", f"{name}@%h"))

    def tail(self, *words: str) -> Process:
        return self.stack.enter_context(
            process(["celeryctl", "tail", *words], self.folder / "tail.log", self.variables)
        )

    def run(self, *words: str) -> str:
        done = run(self.variables, self.folder, *words)
        assert done.returncode == 0, done
        return done.stdout


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        broker = stack.enter_context(new_broker())
        api = stack.enter_context(sources(users=400, latency=0.1))
        variables = settings(database_url, broker.url, tmp_path, api=api, BATCH_SIZE="100")
        yield Cluster(variables, broker, tmp_path, stack)


def following(tail: Process) -> None:
    """It is at it: what opens now is told at once, not as a thing of the past."""
    eventually(lambda: value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'") == 1)


def test_a_run_is_followed_from_its_opening_to_its_end(cluster: Cluster) -> None:
    cluster.work()
    cluster.run("fetch", "users")
    tail = cluster.tail()
    following(tail)
    cluster.run("fetch", "addresses")
    (run_id,) = rows("SELECT left(id::text, 8) FROM runs WHERE dataset = 'addresses'")[0]
    tail.assert_says(f"addresses     run {run_id} opened, by command")
    tail.assert_says(f"batch 1 to 100 of run {run_id} taken by w@")
    tail.assert_says(f"batch 1 to 100 of run {run_id} done")
    tail.assert_says("of 400 records, ")
    tail.assert_says(f"run {run_id} succeeded: 400 new, 0 changed, 0 same, 0 rejected")
    text = tail.text[tail.text.index(f"{run_id} opened") :]
    assert text.index("opened") < text.index("taken by") < text.index("succeeded")


def test_a_fetch_that_a_message_asks_for_and_workers_are_told(cluster: Cluster) -> None:
    first = cluster.work("first")
    tail = cluster.tail()
    following(tail)
    done = run(cluster.variables, cluster.folder, "-A", "celeryctl", "call", "celeryctl.fetch.users", program="celery")
    assert done.returncode == 0
    tail.assert_says("celeryctl.fetch.users")
    tail.assert_says(" received by first@")
    cluster.work("second")
    tail.assert_says("second@")
    assert first.end() == 0
    tail.assert_says("first@")
    eventually(lambda: "has ended" in tail.text)


def test_a_broker_that_goes_and_comes_back_is_told_and_runs_are_followed_all_the_same(cluster: Cluster) -> None:
    tail = cluster.tail()
    following(tail)
    cluster.broker.stop()
    tail.assert_says("the broker does not answer")
    with transaction():
        Run.insert(dataset="users", trigger="test", id="abcdef00-0000-4000-8000-000000000000", page_size=1,
                   batch_size=1).execute()  # fmt: skip
    tail.assert_says("run abcdef00 opened, by test")
    runs.cancel(Run(id="abcdef00-0000-4000-8000-000000000000").id)
    tail.assert_says("run abcdef00 cancelled")
    cluster.broker.start()
    tail.assert_says("the broker answers again")
    cluster.work()
    cluster.run("fetch", "addresses")
    tail.assert_says("addresses     run")


def test_connections_to_the_database_that_break_are_opened_again(cluster: Cluster) -> None:
    tail = cluster.tail()
    following(tail)
    with session():
        rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
             "AND datname = current_database()")  # fmt: skip
    with transaction():
        Run.insert(dataset="users", trigger="test", id="abcdef00-0000-4000-8000-000000000000", page_size=1,
                   batch_size=1).execute()  # fmt: skip
    tail.assert_says("run abcdef00 opened, by test")
    following(tail)


def test_one_run_is_followed_until_it_is_over_and_its_outcome_is_the_exit_code(cluster: Cluster) -> None:
    cluster.work()
    found = json.loads(cluster.run("fetch", "users", "--detach", "--json"))["runs"][0]
    done = run(cluster.variables, cluster.folder, "tail", found["id"][:9], "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert {line["run"] for line in lines} <= {found["id"]} | {None}
    assert [line["kind"] for line in lines][-1] == "run-ended"
    assert (lines[-1]["status"], lines[-1]["done"]) == ("succeeded", 400)
    again = run(cluster.variables, cluster.folder, "tail", found["id"])
    assert again.returncode == 0
    assert [line.split()[4] for line in again.stdout.splitlines()] == ["opened,", "succeeded:"]


def test_the_past_is_as_long_as_is_asked_for(cluster: Cluster) -> None:
    with transaction():
        for number in range(30):
            Run.insert(id=f"{number:08x}-0000-4000-8000-000000000000", dataset="users", trigger="test", page_size=1,
                       batch_size=1, status="failed", error="no", started_at=f"2020-01-01T00:{number:02}:00Z",
                       finished_at=f"2020-01-01T00:{number:02}:30Z").execute()  # fmt: skip
    tail = cluster.tail()
    tail.assert_says("0000001d failed")
    assert len(tail.text.splitlines()) >= 20
    assert "00000014 opened" in tail.text
    assert "00000013 opened" not in tail.text
    few = cluster.stack.enter_context(
        process(["celeryctl", "tail", "-n", "3", "--json"], cluster.folder / "few.log", cluster.variables)
    )
    eventually(lambda: few.text.count("\n") >= 3)
    assert [json.loads(line)["kind"] for line in few.text.splitlines()[:3]] == ["run-ended", "run-opened", "run-ended"]
    recent = cluster.stack.enter_context(
        process(["celeryctl", "tail", "--since", "10m"], cluster.folder / "recent.log", cluster.variables)
    )
    with transaction():
        Run.insert(dataset="users", trigger="late", id="abcdef00-0000-4000-8000-000000000000", page_size=1,
                   batch_size=1).execute()  # fmt: skip
    recent.assert_says("by late")
    assert "failed" not in recent.text


def listening(broker: str) -> bool:
    """Somebody receives events."""
    with closing(redis.Redis.from_url(broker)) as client:
        return bool(client.pubsub_numpat())


def test_it_publishes_nothing_which_would_be_tried_for_ever_where_the_broker_goes_just_then(cluster: Cluster) -> None:
    tail = cluster.tail()
    eventually(lambda: listening(cluster.broker.url))
    with (
        Celery(broker=cluster.broker.url, set_as_current=False) as app,
        app.connection_for_write() as connection,
        app.events.Dispatcher(connection, hostname="somebody") as dispatcher,
    ):
        dispatcher.send("task-failed", uuid="a1b2c3d4", exception="Broken")
    tail.assert_says("task a1b2c3d4 failed on somebody")
    with closing(redis.Redis.from_url(cluster.broker.url)) as client:
        assert client.info("commandstats")["cmdstat_publish"]["calls"] == 1  # the event that we sent


def test_an_event_that_is_none_is_passed_over(cluster: Cluster) -> None:
    tail = cluster.tail()
    eventually(lambda: listening(cluster.broker.url))
    with Celery(broker=cluster.broker.url, set_as_current=False) as app, app.connection_for_write() as connection:
        exchange = app.events.Receiver(connection).exchange
        for body in ({"type": "task-failed"}, {"type": "task-failed", "timestamp": "abc"}, {}, [7], "x"):
            connection.Producer(exchange=exchange).publish(body, routing_key="task.failed", serializer="json")
        with app.events.Dispatcher(connection, hostname="somebody") as dispatcher:
            dispatcher.send("task-failed", uuid="a1b2c3d4", exception="Broken")
    tail.assert_says("task a1b2c3d4 failed on somebody: Broken")
    assert "Traceback" not in tail.text


def test_a_broker_that_falls_silent_is_told_and_its_return_as_well(cluster: Cluster) -> None:
    tail = cluster.tail()
    eventually(lambda: listening(cluster.broker.url))
    with closing(redis.Redis.from_url(cluster.broker.url)) as client:
        server = psutil.Process(client.info()["process_id"])
    server.suspend()
    try:
        tail.assert_says("the broker does not answer", within=60)
    finally:
        server.resume()
    tail.assert_says("the broker answers again")


def test_a_run_that_is_deleted_is_followed_no_longer(cluster: Cluster) -> None:
    with transaction():
        Run.insert(dataset="users", trigger="test", id="abcdef00-0000-4000-8000-000000000000", page_size=1,
                   batch_size=1).execute()  # fmt: skip
    tail = cluster.tail("abcdef")
    following(tail)
    with transaction():
        Run.delete().execute()
    tail.assert_says("run abcdef00 was deleted")
    eventually(lambda: not tail.lives)


def test_ctrl_c_ends_it(cluster: Cluster) -> None:
    with terminal("tail", environment=cluster.variables) as tail:
        eventually(lambda: value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'") == 1)
        tail.press("\x03")
        assert tail.end() == 130
        assert "Traceback" not in tail.text


@pytest.mark.parametrize(("words", "code", "told"), [
    (["fff"], 1, "there is no run fff"),
    (["no-id!"], 2, "is not the id of a run"),
    (["--since", "x"], 2, "is no duration"),
    (["-n", "-1"], 2, "-n"),
])  # fmt: skip
def test_what_cannot_be_followed_is_refused(cluster: Cluster, words: list[str], code: int, told: str) -> None:
    done = run(cluster.variables, cluster.folder, "tail", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_a_wait_that_is_interrupted_says_that_the_run_goes_on(cluster: Cluster) -> None:
    held = cluster.work()
    with terminal("fetch", "users", columns=120, environment={**cluster.variables, "HTTP_MAX_TRIES": "1"}) as fetch:
        eventually(lambda: value("SELECT count(*) FROM runs WHERE status = 'running'") == 1)
        fetch.assert_shows("users")
        fetch.press("\x03")
        assert fetch.end() == 130
        (run_id,) = rows("SELECT left(id::text, 8) FROM runs")[0]
        fetch.assert_shows(f"The run goes on. Follow it: celeryctl tail {run_id}")
    eventually(lambda: value("SELECT status FROM runs") == "succeeded")
    assert held.lives
