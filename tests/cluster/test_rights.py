"""What users of the broker may do, and how one who may not enough is told."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from broker import Broker
from composed import ROOT, USERS, Composed, composed

from celeryctl.cluster import inspection, queues, rights
from celeryctl.cluster.app import create_app
from celeryctl.cluster.publish import announce
from celeryctl.errors import BrokerRefusedError

from .kit import context, run, settings

pytestmark = pytest.mark.integration

NO_DATABASE = "postgresql://127.0.0.1:1/nowhere"


@pytest.fixture(scope="module")
def broker() -> Iterator[Composed]:
    with composed() as one:
        yield one


@pytest.mark.parametrize(
    ("user", "program", "lacking"),
    [
        *[(user, program, []) for user, program in (("worker", "worker"), ("beat", "beat"), ("viewer", "stats"))],
        ("worker", "stats", []),
        ("worker", "beat", []),
        ("beat", "stats", []),
        ("beat", "worker", ["BRPOP celery", "HSET unacked", "ZADD unacked_index", "SET unacked_mutex",
                            "EVALSHA _kombu.binding.celery.pidbox", "PUBLISH /0.celeryev/worker.heartbeat"]),
        ("viewer", "beat", ["LPUSH celery", "SADD _kombu.binding.celery", "HDEL unacked",
                            "PUBLISH /0.celeryev/task.sent"]),
    ],
)  # fmt: skip
def test_what_a_user_lacks_is_named(broker: Composed, user: str, program: rights.Program, lacking: list[str]) -> None:
    with closing(redis.Redis.from_url(broker.url(user))) as client:
        assert rights.refused(client, rights.needed(program, 0)) == lacking


@pytest.mark.parametrize(("user", "program"), [*rights.USERS.items(), ("admin", "worker")])
def test_doctor_finds_nothing_that_a_user_of_the_file_lacks(
    broker: Composed, user: str, program: str, tmp_path: Path
) -> None:
    one = context(settings(NO_DATABASE, broker.url(user), tmp_path), tmp_path)
    assert queues.rights_of(one.settings) == queues.Rights(user, program, [], [])


@pytest.mark.parametrize(
    ("user", "rules", "told"),
    [
        ("worker", "-zadd", queues.Rights("worker", "worker", ["ZADD unacked_index"], [])),
        ("worker", "-time -info", queues.Rights("worker", "worker", [], ["TIME", "INFO"])),
        ("beat", "-lpush", queues.Rights("beat", "beat", ["LPUSH celery"], [])),
        ("viewer", "-hlen", queues.Rights("viewer", "stats", ["HLEN unacked"], ["HLEN unacked"])),
        ("mine", "reset on >mine-secret ~* &* +@all -brpop", queues.Rights("mine", "beat", [], [])),
        ("mine", "reset on >mine-secret %R~* &* +@all", queues.Rights("mine", "stats", [], [])),
        ("mine", "reset on >mine-secret ~* resetchannels +@all", queues.Rights(
            "mine", "worker", ["PUBLISH /0.celeryev/worker.heartbeat"],
            ["PSUBSCRIBE /0.celery.pidbox", "PSUBSCRIBE /0.celeryev/*"])),
    ],
)  # fmt: skip
def test_doctor_names_what_a_user_lacks_for_what_it_does(
    user: str, rules: str, told: queues.Rights, tmp_path: Path
) -> None:
    with composed() as one, closing(redis.Redis.from_url(one.url("admin"))) as admin:
        admin.execute_command("ACL", "SETUSER", user, *rules.split())
        assert queues.rights_of(context(settings(NO_DATABASE, one.url(user), tmp_path), tmp_path).settings) == told


def test_finding_out_what_a_user_may_do_does_nothing(broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("admin"))) as admin:
        programs: tuple[rights.Program, ...] = ("worker", "beat", "stats")
        for program in programs:
            assert rights.refused(admin, (*rights.needed(program, 0), *rights.further(program, 0))) == []
        assert admin.keys("*") == []
        assert admin.ping()


@pytest.mark.parametrize(("program", "user"), [("worker", "beat"), ("worker", "viewer"), ("beat", "viewer")])
def test_a_program_with_the_wrong_user_does_not_start_and_says_what_that_lacks(
    broker: Composed, program: str, user: str, database_url: str, tmp_path: Path
) -> None:
    done = run(settings(database_url, broker.url(user), tmp_path), tmp_path, program)
    assert (done.returncode, [line[:6] for line in done.stderr.splitlines()]) == (1, ["Error:", "  why:", "  fix:"])
    assert f"may not do what {program} does" in done.stderr
    assert ("BRPOP celery" if program == "worker" else "LPUSH celery") in done.stderr
    assert "deploy/redis.acl" in done.stderr
    assert "secret" not in done.stderr


def test_a_refused_command_is_told_as_such_and_not_as_a_broker_that_is_away(broker: Composed) -> None:
    with pytest.raises(BrokerRefusedError) as caught, queues.broker(broker.url("viewer")) as client:
        client.set("unacked_mutex", "1")
    assert caught.value.exit_code == 1
    assert "'set'" in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("user", ["viewer", "beat"])
def test_who_may_not_ask_the_workers_is_told(broker: Composed, user: str, tmp_path: Path) -> None:
    one = context(settings(NO_DATABASE, broker.url(user), tmp_path), tmp_path)
    with pytest.raises(BrokerRefusedError):
        inspection.queues_of(one.settings, ["celery@there"])


@pytest.mark.parametrize(
    ("default", "open_"),
    [
        ("on nopass ~* &* +@all", True),
        ("on nopass ~celery -@all +multi +discard +lpush", True),
        ("on nopass resetkeys &* -@all +multi +discard +publish", True),
        ("on nopass ~celery -@all +multi +lpush", True),
        ("on nopass ~celery -@all +lpush", True),
        ("on nopass ~* resetchannels -@all +ping +multi +discard +llen", False),
        ("on nopass resetkeys resetchannels -@all +multi +ping", False),
        ("on >s3cret ~* &* +@all", False),
        ("off", False),
    ],
    ids=["anything", "tasks", "broadcasts", "no discard", "no multi", "looks", "pings", "password", "off"],
)
def test_a_broker_lets_anybody_in_where_a_stranger_can_publish(default: str, open_: bool, tmp_path: Path) -> None:
    broker = Broker(tmp_path, f"user default reset {default}", "user own on >own ~* &* +@all")
    broker.url = f"redis://own:own@127.0.0.1:{broker.port}/0"
    broker.start()
    try:
        assert queues.lets_anybody_in(broker.url) == open_
        with closing(redis.Redis.from_url(broker.url)) as client:
            assert client.llen("celery") == 0
    finally:
        broker.stop()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Broker]:
    """A broker for everybody, with a user of its own that may do as much."""
    one = Broker(tmp_path, "user default reset on nopass ~* &* +@all", "user own on >own ~* &* +@all")
    one.url = f"redis://own:own@127.0.0.1:{one.port}/0"
    one.start()
    try:
        yield one
    finally:
        one.stop()


@pytest.mark.parametrize("command", ["CONFIG SET maxmemory 1", "REPLICAOF 127.0.0.1 1"], ids=["full", "a replica"])
def test_a_broker_that_takes_nothing_for_now_has_refused_no_right(opened: Broker, command: str, tmp_path: Path) -> None:
    one = context(settings(NO_DATABASE, opened.url, tmp_path), tmp_path)
    with closing(redis.Redis.from_url(opened.url)) as client:
        client.execute_command(command)
        with pytest.raises(redis.ResponseError):
            client.lpush("celery", "x")
    queues.check(one.settings, "worker")
    queues.check(one.settings, "beat")
    assert queues.lets_anybody_in(opened.url)


def test_a_user_for_another_database_and_another_queue_is_let_work(opened: Broker, tmp_path: Path) -> None:
    acl = (ROOT / "deploy/redis.acl").read_text()
    lines = [line for line in acl[acl.index("user worker") : acl.index("user beat")].splitlines() if line[:1] != "#"]
    rules = " ".join(lines).replace("&/0.", "&/1.").replace("~celery ~celery??[369] ", "~other ~other??[369] ")
    with closing(redis.Redis.from_url(opened.url)) as client:
        client.execute_command("ACL", "SETUSER", *rules.split()[1:], "+select", "%W~celery", "%W~celery??[369]", ">own")
    one = context(settings(NO_DATABASE, f"redis://worker:own@127.0.0.1:{opened.port}/1", tmp_path), tmp_path)
    queues.check(one.settings, "worker", unless="BRPOP")
    with pytest.raises(BrokerRefusedError) as caught:
        queues.check(one.settings, "worker")
    assert caught.value.why == "the broker refuses it BRPOP celery"


@pytest.mark.parametrize("words", [["-Q", "other"], ["-Qother"], ["--queues=other"], []])
def test_a_worker_for_a_queue_of_its_own_need_not_take_from_the_usual_one(
    opened: Broker, words: list[str], postgres_server: str, tmp_path: Path
) -> None:
    with closing(redis.Redis.from_url(opened.url)) as client:
        client.execute_command(
            "ACL", "SETUSER", "own", "resetkeys", "%W~celery", "~other", "~unacked*", "~_kombu*", "~*pidbox"
        )
    done = run(settings(postgres_server, opened.url, tmp_path), tmp_path, "worker", *words)
    assert done.returncode == 1
    assert ("celeryctl init-db" in done.stderr) == bool(words)  # it gets as far as the tables, which are not there
    assert ("BRPOP celery" in done.stderr) == (not words)


def test_who_may_not_begin_a_transaction_is_told_that(opened: Broker, tmp_path: Path) -> None:
    with closing(redis.Redis.from_url(opened.url)) as client:
        client.execute_command("ACL", "SETUSER", "own", "-multi")
    one = context(settings(NO_DATABASE, opened.url, tmp_path), tmp_path)
    with pytest.raises(BrokerRefusedError) as caught:
        queues.check(one.settings, "beat")
    assert caught.value.why == "the broker refuses it MULTI"


@pytest.mark.parametrize("mode", ["--detach", "--wait"])
def test_who_may_give_no_orders_is_told_so_before_anything_is_opened(
    broker: Composed, mode: str, database_url: str, tmp_path: Path
) -> None:
    variables = settings(database_url, broker.url("viewer"), tmp_path)
    done = run(variables, tmp_path, "fetch", "users", mode)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 3)
    assert "the broker refuses it LPUSH celery" in done.stderr
    assert json.loads(run(variables, tmp_path, "runs", "--json").stdout)["runs"] == []


def test_a_refused_announcement_is_told_as_such(
    broker: Composed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = context(settings(NO_DATABASE, broker.url("viewer"), tmp_path), tmp_path)
    with create_app(one) as app:
        announce(app, [1])
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "batch 1 is announced later: the broker refuses it"
    ]


def test_users_of_the_file_are_those_that_compose_has(broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("admin"), decode_responses=True)) as admin:
        assert set(admin.acl_users()) == {*USERS, "default", "admin"}
