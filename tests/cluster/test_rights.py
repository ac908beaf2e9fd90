"""What users of the broker may do, and how one who may not enough is told."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from broker import Broker
from composed import USERS, Composed, composed

from celeryctl.cluster import inspection, queues, rights
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
        ("beat", "stats", []),
        ("beat", "worker", ["BRPOP celery", "HSET unacked", "ZADD unacked_index", "SET unacked_mutex",
                            "EVALSHA _kombu.binding.celery.pidbox", "PUBLISH /0.celeryev/worker.heartbeat"]),
        ("viewer", "beat", ["LPUSH celery", "SADD _kombu.binding.celery", "HDEL unacked",
                            "PUBLISH /0.celeryev/task.sent"]),
    ],
)  # fmt: skip
def test_what_a_user_lacks_is_named(broker: Composed, user: str, program: rights.Program, lacking: list[str]) -> None:
    with closing(redis.Redis.from_url(broker.url(user))) as client:
        assert rights.refused(client, rights.NEEDED[program]) == lacking


def test_finding_out_what_a_user_may_do_does_nothing(broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("admin"))) as admin:
        assert rights.refused(admin, [one for needed in rights.NEEDED.values() for one in needed]) == []
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
        ("on nopass ~* resetchannels -@all +ping +multi +discard +llen", False),
        ("on nopass resetkeys resetchannels -@all +ping", False),
        ("on >s3cret ~* &* +@all", False),
        ("off", False),
    ],
    ids=["anything", "tasks", "broadcasts", "looks", "pings", "password", "off"],
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


def test_users_of_the_file_are_those_that_compose_has(broker: Composed) -> None:
    with closing(redis.Redis.from_url(broker.url("admin"), decode_responses=True)) as admin:
        assert set(admin.acl_users()) == {*USERS, "default", "admin"}
