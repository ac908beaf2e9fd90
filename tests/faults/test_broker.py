"""A broker that dies, forgets, flaps, stands still, lies, is full or slow: nobody who works with it has to be woken."""

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from relay import Relay
from waiting import eventually

from .kit import Recovery, Stage, assert_gets_over, new_stage, pass_time

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

BOUND = 40  # seconds after the broker is back


def killed(stage: Stage) -> None:
    stage.broker.stop()
    stage.workers["worker"].assert_says("Connection to broker lost")
    stage.broker.start()


def flushed(stage: Stage) -> None:
    command(stage, "FLUSHALL")


def flapping(stage: Stage) -> None:
    for _ in range(10):
        stage.broker.stop()
        stage.broker.start()


def frozen(stage: Stage) -> None:
    stage.broker.send(signal.SIGSTOP)
    pass_time(60)
    stage.broker.send(signal.SIGCONT)


def half_open(stage: Stage) -> None:
    relay(stage).silence()


def cut(stage: Stage) -> None:
    relay(stage).cut()


def full(stage: Stage) -> None:
    command(stage, "CONFIG", "SET", "maxmemory", "1")
    pass_time(15)
    command(stage, "CONFIG", "SET", "maxmemory", "0")


def read_only(stage: Stage) -> None:
    command(stage, "REPLICAOF", "127.0.0.1", "1")
    pass_time(15)
    command(stage, "REPLICAOF", "NO", "ONE")


def reply_lost(stage: Stage) -> None:
    """The broker hands a message out, and it never arrives."""
    lost: list[bytes] = []

    def swallow(data: bytes) -> bytes:
        # What BRPOP says begins with the queue's name; others see messages, too, without taking them.
        if lost or b"\r\ncelery\r\n" not in data or b"celeryctl.batch" not in data:
            return data
        lost.append(data)
        return b""

    relay(stage).reply = swallow
    eventually(lambda: lost)


FAULTS: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "killed, nothing kept": (killed, {}),
    "killed, with an append-only file": (killed, {"broker_settings": ("appendonly yes", "appendfsync always")}),
    "flushed": (flushed, {}),
    "flapping": (flapping, {}),
    "frozen for a minute": (frozen, {}),
    "half-open sockets": (half_open, {"relays": True}),
    "connections cut": (cut, {"relays": True}),
    "full": (full, {"broker_settings": ("maxmemory-policy noeviction",)}),
    "read-only": (read_only, {}),
    "a reply lost": (reply_lost, {"relays": True}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cluster_gets_over_a_broker_that_is(fault: str, tmp_path: Path, recovery: Recovery) -> None:
    strike, circumstances = FAULTS[fault]
    assert_gets_over(strike, circumstances, tmp_path, recovery, bound=BOUND)


def test_a_slow_broker_slows_nothing_down_for_good(tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, relays=True) as stage:
        relay(stage).delay = 0.2
        stage.worker()
        assert stage.run("fetch", "all").returncode == 0
        stage.recovered(recovery, bound=BOUND)


def test_without_a_broker_nothing_is_queued_and_the_command_says_so_at_once(tmp_path: Path) -> None:
    with new_stage(tmp_path) as stage:
        stage.broker.stop()
        done = stage.run("fetch", "all", "--detach")
        assert done.returncode == 69
        assert "the broker does not answer" in done.stderr


def command(stage: Stage, *words: str) -> None:
    with closing(redis.Redis.from_url(stage.broker.url)) as client:
        client.execute_command(*words)  # type: ignore[no-untyped-call]


def relay(stage: Stage) -> Relay:
    assert stage.to_broker is not None
    return stage.to_broker
