"""An outage in the midst of a cluster's work, and the work after it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.kit import value
from waiting import eventually

from .kit import ALIVE, Recovery, Stage, Strike, new_stage, pass_time


def lasting(strike: Strike, seconds: float = 0) -> Callable[[Stage], None]:
    """The fault from its beginning to its end."""

    def struck(stage: Stage) -> None:
        with strike(stage):
            pass_time(seconds)

    return struck


def assert_gets_over(
    strike: Callable[[Stage], None], circumstances: Mapping[str, Any], folder: Path, recovery: Recovery, *, bound: float
) -> None:
    """Strike a whole cluster in the midst of its work: it goes on by itself, nobody ends, and it does the next run."""
    with new_stage(folder, latency=0.5, **circumstances) as stage:
        worker, beat = stage.worker(), stage.beat()
        client = stage.fetch("all")
        stage.until_under_way()
        strike(stage)
        stage.recovered(recovery, bound=bound)
        eventually(lambda: not client.lives, within=60)
        assert "Error:" not in client.text
        assert worker.lives
        assert beat.lives
        # Its heartbeat comes every few seconds; after an outage of the database nobody knows before that it is there.
        eventually(lambda: value(ALIVE) > 0)
        assert stage.run("fetch", "all", "--refresh").returncode == 0
        stage.audit()
