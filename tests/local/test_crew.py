"""What the children of `up` find in their environment."""

from pathlib import Path

import pytest

from celeryctl.local.crew import Crew
from celeryctl.local.interrupt import Interrupt
from celeryctl.pipeline.context import Context
from celeryctl.settings import Environment, load

pytestmark = pytest.mark.unit


def test_every_child_has_a_sign_of_life_and_a_port_of_its_own(tmp_path: Path) -> None:
    given = {"HEARTBEAT_FILE": "/tmp/alive", "METRICS_PORT": "9809"}
    context = Context(load(Environment.read(given, tmp_path), []), {})
    crew = Crew(context, Interrupt(), changed=lambda _: None)
    found = {name: crew.environ_of(name) for name in ("worker1", "worker2", "beat")}
    files = {name: environ["HEARTBEAT_FILE"] for name, environ in found.items()}
    assert files == {name: f"/tmp/alive.{name}" for name in found}
    assert [found[name]["METRICS_PORT"] for name in ("worker1", "worker2")] == ["9809", "9810"]
