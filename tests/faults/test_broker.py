"""A broker that dies, forgets, flaps, stands still, lies, is full or slow: nobody who works with it has to be woken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from .kit import Recovery, Stage, new_stage
from .outage import assert_gets_over, lasting
from .strikes import broker

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

BOUND = 40  # seconds after the broker is back


def killed(stage: Stage) -> None:
    with broker.killed(stage):
        stage.workers["worker"].assert_says("Connection to broker lost")


def reply_lost(stage: Stage) -> None:
    with broker.reply_lost(stage) as lost:
        eventually(lambda: lost)


FAULTS: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "killed, nothing kept": (killed, {}),
    "killed, with an append-only file": (killed, {"broker_settings": ("appendonly yes", "appendfsync always")}),
    "flushed": (lasting(broker.flushed), {}),
    "flapping": (lasting(broker.flapping), {}),
    "frozen for a minute": (lasting(broker.frozen, 60), {}),
    "half-open sockets": (lasting(broker.half_open), {"relays": True}),
    "connections cut": (lasting(broker.cut), {"relays": True}),
    "full": (lasting(broker.full, 15), {"broker_settings": ("maxmemory-policy noeviction",)}),
    "read-only": (lasting(broker.read_only, 15), {}),
    "a reply lost": (reply_lost, {"relays": True}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cluster_gets_over_a_broker_that_is(fault: str, tmp_path: Path, recovery: Recovery) -> None:
    strike, circumstances = FAULTS[fault]
    assert_gets_over(strike, circumstances, tmp_path, recovery, bound=BOUND)


def test_a_slow_broker_slows_nothing_down_for_good(tmp_path: Path, recovery: Recovery) -> None:
    with new_stage(tmp_path, relays=True) as stage, broker.slow(stage):
        stage.worker()
        assert stage.run("fetch", "all").returncode == 0
        stage.recovered(recovery, bound=BOUND)


def test_without_a_broker_nothing_is_queued_and_the_command_says_so_at_once(tmp_path: Path) -> None:
    with new_stage(tmp_path) as stage:
        stage.broker.stop()
        done = stage.run("fetch", "all", "--detach")
        assert done.returncode == 69
        assert "the broker does not answer" in done.stderr
