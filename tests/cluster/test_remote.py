"""What a worker does that is asked over the broker by anybody who may publish there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from waiting import eventually

from .kit import Process, run, settings, worker

pytestmark = pytest.mark.integration

# Every command of Celery's that changes something, with what it takes.
ORDERS: dict[str, dict[str, Any]] = {
    "shutdown": {},
    "pool_restart": {"modules": ["os"], "reload": True},
    "pool_grow": {"n": 50},
    "pool_shrink": {"n": 1},
    "autoscale": {"max": 50, "min": 50},
    "rate_limit": {"task_name": "celeryctl.batch", "rate_limit": "1/h"},
    "time_limit": {"task_name": "celeryctl.batch", "hard": 0.001, "soft": 0.001},
    "revoke": {"task_id": ["one"], "terminate": True},
    "revoke_by_stamped_headers": {"headers": {"a": ["b"]}, "terminate": True},
    "terminate": {"task_id": ["one"], "signal": "KILL"},
    "add_consumer": {"queue": "aside"},
    "cancel_consumer": {"queue": "celery"},
    "disable_events": {},
    "election": {"id": "1", "topic": "task", "action": {"task": "celeryctl.batch"}},
    "hello": {"from_node": "other@host", "revoked": {"one": 1}},
    "memsample": {},
    "memdump": {},
    "objgraph": {},
}


@pytest.fixture
def busy(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[tuple[Process, Celery, dict[str, str]]]:
    variables = settings(database_url, redis_url, tmp_path)
    with worker(tmp_path / "log", variables) as process, Celery("other", broker=redis_url) as stranger:
        yield process, stranger, variables


def test_orders_over_the_broker_are_refused_and_change_nothing(
    busy: tuple[Process, Celery, dict[str, str]], tmp_path: Path
) -> None:
    process, stranger, _ = busy
    before = {child.pid for child in psutil.Process(process.pid).children()}
    for name, arguments in ORDERS.items():
        (reply,) = stranger.control.broadcast(name, arguments=arguments, reply=True, limit=1, timeout=10)
        (said,) = reply.values()
        assert said == {"error": f"{name} is refused: celeryctl's workers take no orders over the broker"}
        assert f"refused, as somebody asked for it over the broker: {name}" in process.text
    look = stranger.control.inspect(timeout=10, limit=1)
    (queues,) = look.active_queues().values()
    (stats,) = look.stats().values()
    assert [queue["name"] for queue in queues] == ["celery"]
    assert {child.pid for child in psutil.Process(process.pid).children()} == before
    assert set(stats["pool"]["processes"]) == before
    assert list(look.revoked().values()) == [[]]


def test_what_only_looks_is_answered(busy: tuple[Process, Celery, dict[str, str]], tmp_path: Path) -> None:
    _, stranger, variables = busy
    look = stranger.control.inspect(timeout=10, limit=1)
    for name in ("active", "active_queues", "clock", "conf", "ping", "registered", "report", "reserved", "revoked",
                 "scheduled", "stats"):  # fmt: skip
        (said,) = getattr(look, name)().values()
        assert "error" not in said, name
    done = run(variables, tmp_path, "-A", "celeryctl", "inspect", "ping", program="celery")
    assert (done.returncode, "pong" in done.stdout) == (0, True)


def test_every_command_of_celerys_is_either_known_to_look_or_refused() -> None:
    from celery.worker.control import Panel

    from celeryctl.cluster.remote import ANSWERED

    # A command that a newer Celery brings along is refused until somebody has looked at it.
    assert set(Panel.data) - ANSWERED == set(ORDERS)


def test_a_refused_order_without_an_answer_is_in_the_log(
    busy: tuple[Process, Celery, dict[str, str]],
) -> None:
    process, stranger, _ = busy
    stranger.control.shutdown()
    eventually(lambda: "refused, as somebody asked for it over the broker: shutdown" in process.text)
    assert process.lives
    assert list(stranger.control.inspect(timeout=10, limit=1).ping().values()) == [{"ok": "pong"}]
