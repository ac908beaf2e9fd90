import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis
from servers import KEY
from waiting import eventually

from celeryctl.local import wheels
from celeryctl.local.ports import free_port

from .kit import look

pytestmark = pytest.mark.integration


@pytest.fixture
def named(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test broker, as the one that settings name."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CARD_ENCRYPTION_KEYS", KEY)
    return redis_url


@contextmanager
def server(*lines: str) -> Iterator[str]:
    """A broker of this configuration, without a password unless that gives one."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        port = free_port()
        Path(folder, "valkey.conf").write_text("\n".join([f"port {port}", "bind 127.0.0.1", 'save ""', *lines]))
        command = [wheels.valkey(), "valkey.conf"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: listens(port))
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                process.kill()


def listens(port: int) -> bool:
    with closing(redis.Redis(port=port, retry=None)) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


@pytest.mark.parametrize("name", ["broker", "Redis version", "memory policy", "broker password", "broker rights",
                                  "broker's clock"])  # fmt: skip
def test_a_broker_as_up_starts_it_is_well(named: str, name: str) -> None:
    found = look(name)
    assert found.state == "ok", found
    assert ":****@" in found.why or name != "broker"


@pytest.mark.parametrize("url", ["redis://:s3cret@127.0.0.1:1/0", ""])
def test_a_broker_that_is_away_is_unreachable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    found = look("broker")
    assert found.state == "unreachable"
    assert found.fix
    assert "s3cret" not in str(found)


def test_a_server_that_is_too_old_is_told(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeryctl.checks.brokers.OLDEST", 99)
    found = look("Redis version")
    assert found.state == "failed"
    assert "needs Redis 99" in found.why


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (["maxmemory 100mb", "maxmemory-policy allkeys-lru"], "failed"),
        (["maxmemory-policy allkeys-lru"], "warning"),
        (["maxmemory 100mb", "maxmemory-policy noeviction"], "ok"),
        (["maxmemory 100mb", "maxmemory-policy volatile-lru"], "ok"),
        (["maxmemory 1mb"], "warning"),
    ],
    ids=["evicts", "would evict", "bounded", "evicts no messages", "full"],
)
def test_a_broker_that_loses_messages_is_told(lines: list[str], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(*lines) as url:
        monkeypatch.setenv("REDIS_URL", url)
        found = look("memory policy")
    assert found.state == state, found
    assert bool(found.fix) == (state != "ok")


def test_a_broker_that_lets_in_everybody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with server() as url:
        monkeypatch.setenv("REDIS_URL", url)
        found = look("broker password")
        monkeypatch.setattr("celeryctl.checks.brokers._is_loopback", lambda host: False)
        beyond = look("broker password")
    assert (found.state, beyond.state) == ("warning", "failed")
    assert "from this machine" in found.why


def test_a_password_in_the_url_alone_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    with server("user strict on >s3cret ~* &* +@all") as url:
        monkeypatch.setenv("REDIS_URL", url.replace("//", "//strict:s3cret@"))
        assert look("broker").state == "ok"
        assert look("broker password").state == "warning"


@pytest.mark.parametrize(("rule", "state"), [("-brpop", "failed"), ("-time", "warning"), ("+time", "ok")])
def test_what_the_brokers_user_lacks_is_told(rule: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(f"user worker on >s3cret ~* &* +@all {rule}") as url:
        monkeypatch.setenv("REDIS_URL", url.replace("//", "//worker:s3cret@"))
        found = look("broker rights")
    assert (found.state, "deploy/redis.acl" in found.fix) == (state, state != "ok")
    assert rule[1:].upper() in found.why or state == "ok"
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(("host", "loopback"), [("localhost", True), ("127.0.0.9", True), ("::1", True),
                                                ("redis", False), ("192.0.2.1", False)])  # fmt: skip
def test_loopback_is_told_apart_from_the_network(host: str, loopback: bool) -> None:
    from celeryctl.checks.brokers import _is_loopback

    assert _is_loopback(host) == loopback
