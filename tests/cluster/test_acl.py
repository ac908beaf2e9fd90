"""deploy/redis.acl: every program does its work with its own user of the broker, and no user can do more."""

import json
import re
import signal
import socket
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from composed import ROOT, USERS, Composed, composed, servers
from redis.exceptions import NoPermissionError
from waiting import eventually

from celeryctl.http import RateBudget
from celeryctl.local.ports import free_port

from .bad import message
from .kit import Process, process, run, settings, sources, value, worker

pytestmark = pytest.mark.integration

RUNS = "SELECT count(*) FROM runs WHERE status = 'succeeded' AND dataset = 'users'"
UNDER_WAY = "SELECT count(*) FROM batches WHERE token IS NOT NULL AND due > now()"


class Monitor:
    """All commands that the broker is given, also by scripts."""

    def __init__(self, broker: Composed) -> None:
        self.seen: set[str] = set()
        self._socket = socket.create_connection(("127.0.0.1", broker.port))
        self._socket.sendall(b"AUTH admin admin-secret\r\nMONITOR\r\n")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError), self._socket.makefile("r", errors="replace") as lines:
            for line in lines:
                if words := re.match(r'\+[\d.]+ \[[^]]*\] "(\w+)"(?: "(\w+)")?', line):
                    self.seen |= {words[1].lower(), f"{words[1]}|{words[2]}".lower()}

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


@contextmanager
def watched(broker: Composed) -> Iterator[Monitor]:
    monitor = Monitor(broker)
    try:
        yield monitor
    finally:
        monitor.close()


def granted() -> set[str]:
    """Every command that the file permits to somebody."""
    lines = [line for line in (ROOT / "deploy/redis.acl").read_text().splitlines() if not line.startswith("#")]
    return {word for line in lines for word in re.findall(r"\+([a-z|]+)", line)}


def ok(variables: dict[str, str], folder: Path, *words: str) -> str:
    done = run(variables, folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", servers())
def test_every_program_works_with_its_own_user_and_is_refused_nothing(
    server: str, database_url: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(composed(server))
        monitor = stack.enter_context(watched(broker))
        api = stack.enter_context(sources(10))
        by = {user: settings(database_url, broker.url(user), tmp_path, api=api) for user in USERS}
        by["worker"]["ADDRESSES_RATE_LIMIT"] = (
            "100/s"  # the others may not run the scripts that tell what is left of it
        )
        leave_behind(broker)
        one = stack.enter_context(worker(tmp_path / "worker.log", by["worker"]))
        eventually(lambda: value(RUNS) > 0)  # the order that a dead worker had was put back, and done
        eventually(lambda: left(broker) == (0, 0))
        beat = stack.enter_context(process(["celeryctl", "beat"], tmp_path / "beat.log", by["beat"]))
        beat.assert_says("active: opens the runs that are due")
        tail = stack.enter_context(process(["celeryctl", "tail"], tmp_path / "tail.log", by["viewer"]))
        eventually(lambda: "psub=1" in clients(broker, "viewer"))
        assert_commands_work(by, tmp_path)
        assert_a_run_is_cancelled(one, by, tmp_path)
        assert_outlives_a_lost_connection(one, broker, by["beat"], tmp_path)
        assert_takes_what_comes(one, tail, broker)
        assert tail.end() == 130
        assert_ends_softly(one, broker, by["worker"], tmp_path)
        assert beat.end() == 0
        assert_keeps_budgets(broker.url("worker"))
        assert broker.log() == []
    # UNWATCH is what redis-py says when a connection fails between WATCH and EXEC.
    assert granted() - monitor.seen == {"unwatch"}


def leave_behind(broker: Composed) -> None:
    """What a worker that died has left: an order long delivered, a batch lately, and lists of who listened long ago."""
    with closing(redis.Redis.from_url(broker.url("admin"))) as admin:
        admin.hset("unacked", "tag", json.dumps([json.loads(message()), "", "celery"]))
        batch = json.loads(message([[999_999], {}, None], task="celeryctl.batch"))
        admin.hset("unacked", "another", json.dumps([batch, "", "celery"]))
        admin.zadd("unacked_index", {"tag": 1, "another": time.time() - 60})
        admin.zadd("_kombu.binding_deadlines", {"celery.pidbox": 1, "reply.celery.pidbox": 1, "celeryev": 1})


def clients(broker: Composed, user: str) -> str:
    with closing(redis.Redis.from_url(broker.url("admin"), decode_responses=True)) as admin:
        lines = str(admin.execute_command("CLIENT", "LIST")).splitlines()
    return "\n".join(line for line in lines if f"user={user}" in line)


def left(broker: Composed) -> tuple[int, int]:
    with closing(redis.Redis.from_url(broker.url("admin"))) as admin:
        return int(admin.llen("celery")), int(admin.hlen("unacked"))  # type: ignore[arg-type]


def assert_commands_work(by: dict[str, dict[str, str]], folder: Path) -> None:
    for words in ("fetch all --wait", "failed --retry --all", "schedule run users", "wait --for queue=0 --timeout 20s"):
        ok(by["beat"], folder, *words.split())
    ok(by["beat"], folder, "fetch", "addresses", "--refresh", "--sync")
    for words in ("stats", "runs", "why 1", "users list", "config show"):
        ok(by["viewer"], folder, *words.split())
    stats = json.loads(ok(by["worker"], folder, "stats", "--json"))
    assert stats["problems"] == []
    assert {one["name"]: one["budget"] for one in stats["sources"]}["addresses"] == {"limit": "100/s", "remaining": 100}
    checks = json.loads(ok(by["worker"], folder, "doctor", "--json"))["checks"]
    assert {one["name"]: one["state"] for one in checks}["consuming"] == "ok"
    done = run(by["worker"], folder, "-A", "celeryctl", "inspect", "ping", program="celery")
    assert (done.returncode, "pong" in done.stdout) == (0, True)


def assert_a_run_is_cancelled(one: Process, by: dict[str, dict[str, str]], folder: Path) -> None:
    one.ask(signal.SIGSTOP)
    try:
        (opened,) = json.loads(ok(by["beat"], folder, "fetch", "users", "--refresh", "--detach", "--json"))["runs"]
        ok(by["viewer"], folder, "why", opened["id"])
        ok(by["beat"], folder, "cancel", opened["id"])
    finally:
        one.ask(signal.SIGCONT)


def assert_outlives_a_lost_connection(one: Process, broker: Composed, variables: dict[str, str], folder: Path) -> None:
    with closing(redis.Redis.from_url(broker.url("admin"))) as admin:
        admin.execute_command("CLIENT", "KILL", "USER", "worker")
    one.assert_says("Connected to redis", times=2)
    ok(variables, folder, "fetch", "users", "--refresh", "--wait")


def assert_takes_what_comes(one: Process, tail: Process, broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("beat"))) as client:
        client.lpush("celery", b"no message", message())
    one.assert_says("a message is set aside")
    tail.assert_says("celeryctl.fetch.users")  # an event of Celery's
    eventually(lambda: left(broker) == (0, 0))


def assert_ends_softly(one: Process, broker: Composed, variables: dict[str, str], folder: Path) -> None:
    """A worker that is at work ends when its time is over, and puts back what it has not done."""
    assert one.end() == 0
    with sources(10, latency=25) as slow:
        another = {
            **variables,
            **dict.fromkeys(("ADDRESSES_URL", "CREDIT_CARDS_URL"), f"{slow}/api/address/random_address"),
        }
        with worker(folder / "slow.log", another) as at_work:
            ok(variables, folder, "fetch", "addresses", "--refresh", "--detach")
            eventually(lambda: value(UNDER_WAY) > 0)
            at_work.ask(signal.SIGQUIT)
            at_work.ended()
    assert left(broker)[1] == 0


def assert_keeps_budgets(url: str) -> None:
    budget = RateBudget({"there": "2/s"}, url)
    for _ in range(3):
        budget.wait("there")
    assert budget.remaining("there") in (0, 1, 2)
    budget.pause("there", 60)
    assert 50 < budget.paused_for("there") <= 60


@pytest.fixture(scope="module", params=servers())
def broker(request: pytest.FixtureRequest) -> Iterator[Composed]:
    with composed(request.param) as one:
        with closing(redis.Redis.from_url(one.url("admin"))) as admin:
            admin.lpush("celery", "a task")
            admin.hset("unacked", "tag", "a task")
            admin.set("LIMITS:celeryctl/pause/users", 1)
        yield one


EVERYBODY = (
    "CONFIG GET *", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0", "FLUSHALL", "FLUSHDB", "SHUTDOWN NOSAVE", "MONITOR",
    "ACL LIST", "ACL SETUSER worker +@all", "CLIENT LIST", "CLIENT KILL USER worker", "CLIENT PAUSE 1000", "SAVE",
    "EVAL return(1) 0", "FUNCTION LIST", "MODULE LIST", "REPLICAOF 127.0.0.1 1", "SLOWLOG GET",
    "SELECT 1", "RENAME celery x", "SWAPDB 0 1", "SORT celery", "DUMP celery", "MIGRATE 127.0.0.1 1 celery 0 1",
    "SUBSCRIBE /0.celery.pidbox/all", "PSUBSCRIBE *", "PUBLISH elsewhere x", "LLEN elsewhere", "OBJECT ENCODING celery",
)  # fmt: skip
REFUSED = {
    "worker": (
        *EVERYBODY, "SET elsewhere x", "GET elsewhere", "DEL elsewhere", "LPUSH elsewhere x", "HSET elsewhere a b",
        "SADD elsewhere x", "SADD _kombu.binding.elsewhere x", "ZADD elsewhere 1 x", "LRANGE elsewhere 0 -1",
        "PSUBSCRIBE /0.elsewhere", "EVALSHA 0 1 elsewhere", "SCRIPT FLUSH",
    ),
    "beat": (
        *EVERYBODY, "EVALSHA 0 0", "SCRIPT LOAD return(1)", "BRPOP celery 1", "RPOP celery", "LTRIM celery 1 0",
        "DEL celery", "LSET celery 0 x", "RPUSH celery x", "HSET unacked tag x", "ZADD unacked_index 1 x",
        "SET unacked_mutex x", "SET LIMITS:celeryctl/pause/users 1", "DEL LIMITS:celeryctl/pause/users",
        "PUBLISH /0.celery.pidbox x", "PUBLISH /0.celeryev/worker.heartbeat x", "PSUBSCRIBE /0.celery.pidbox",
        "SADD _kombu.binding.celery.pidbox x", "LPUSH a.reply.celery.pidbox x",
    ),
    "viewer": (
        *EVERYBODY, "EVALSHA 0 0", "SCRIPT LOAD return(1)", "LPUSH celery x", "RPUSH celery x", "BRPOP celery 1",
        "LTRIM celery 1 0", "DEL celery", "SET celery x", "HSET unacked tag x", "HDEL unacked tag",
        "ZADD unacked_index 1 x", "ZREM unacked_index tag", "SET unacked_mutex x", "SADD _kombu.binding.celery x",
        "GET LIMITS:celeryctl/pause/users", "PUBLISH /0.celery.pidbox x",
        "PUBLISH /0.celeryev/task.sent x", "PSUBSCRIBE /0.celery.pidbox",
    ),
    "default": (*EVERYBODY, "LLEN celery", "LPUSH celery x", "INFO", "PUBLISH /0.celery.pidbox x", "MULTI"),
}  # fmt: skip


@pytest.mark.parametrize("user", REFUSED)
def test_what_a_user_does_not_need_is_refused(broker: Composed, user: str) -> None:
    url = broker.url(user).replace("default-secret", "viewer-secret")
    with closing(redis.Redis.from_url(url)) as client:
        assert [command for command in REFUSED[user] if may(client, command)] == []


def may(client: "redis.Redis", command: str) -> bool:
    try:
        client.execute_command(*command.split())
    except NoPermissionError:
        return False
    except redis.ResponseError as exc:
        return "NOPERM" not in str(exc)
    return True


def test_a_script_may_do_what_its_user_may_and_no_more(broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("worker"))) as client:
        for command in ("'set', 'elsewhere', 'x'", "'flushall'", "'config', 'get', '*'"):
            script = client.register_script(f"return redis.call({command})")
            with pytest.raises(redis.ResponseError, match=r"not allowed|can't (run|access)|ACL|permission"):
                script()


@pytest.mark.slow
def test_flower_shows_tasks_workers_and_queues_to_who_may_only_read(database_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(composed())
        api, port = stack.enter_context(sources(10)), free_port()
        by = {user: settings(database_url, broker.url(user), tmp_path, api=api) for user in USERS}
        stack.enter_context(worker(tmp_path / "worker.log", by["worker"]))
        watching = {"REDIS_URL": by["viewer"]["REDIS_URL"], "CELERYCTL_HOME": by["viewer"]["CELERYCTL_HOME"]}
        watching |= {"FLOWER_BASIC_AUTH": "ann:geheim", "FLOWER_PORT": str(port)}
        flower = stack.enter_context(process(["celeryctl", "flower"], tmp_path / "flower.log", watching))
        eventually(lambda: "psub=1" in clients(broker, "viewer"), within=60)
        ok(by["beat"], tmp_path, "fetch", "users", "--wait")
        eventually(lambda: "celeryctl.batch" in page(port, "/api/tasks"))
        eventually(lambda: "celery@" in page(port, "/workers?json=1"))
        assert json.loads(page(port, "/api/queues/length"))["active_queues"] == [{"name": "celery", "messages": 0}]
        # What it cannot: ask the workers. It says so, and goes on.
        flower.assert_says("no permissions")
        assert {user for user, _ in broker.log()} == {"viewer"}
        assert "Failed to capture events" not in flower.text
        flower.kill()


def page(port: int, path: str) -> str:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    asked.add_header("Authorization", "Basic " + b64encode(b"ann:geheim").decode())
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(answer.read().decode())


def test_what_the_viewer_may_not_have_is_told_and_not_a_fault(database_url: str, tmp_path: Path) -> None:
    with composed() as broker, sources(10) as api:
        by = {
            user: settings(database_url, broker.url(user), tmp_path, api=api, USERS_RATE_LIMIT="9/s") for user in USERS
        }
        with worker(tmp_path / "worker.log", by["worker"]):
            stats = json.loads(ok(by["viewer"], tmp_path, "stats", "--json"))
            checks = json.loads(run(by["viewer"], tmp_path, "doctor", "--json").stdout)["checks"]
        assert (stats["problems"], stats["queues"][0]["waiting"]) == ([], 0)
        assert {one["name"]: one["budget"] for one in stats["sources"]}["users"] is None
        (consuming,) = (one for one in checks if one["name"] == "consuming")
        assert consuming["state"] == "skipped"
        assert "may not ask the workers" in consuming["why"]
        done = run(by["beat"], tmp_path, "fetch", "users", "--sync")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "no permissions" in done.stderr + done.stdout
