"""A worker whose host is cut off from everything else in the midst of its work, and reached again."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster.kit import Process, process, value
from waiting import eventually
from wires import led, new_nodes

from benchmarks import hosts
from benchmarks.cluster import Node

from .kit import LEFT_OPEN, PATIENCE, Recovery, Stage, new_stage, pass_time

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(500)]

BOUND = 40  # seconds after the host can be reached again
FAR = "SELECT count(*) FROM workers WHERE name LIKE 'host1@%%' AND seen_at > now() - interval '10 seconds'"


def far_worker(stage: Stage, node: Node, ways: ExitStack) -> Process:
    """One that finds database, broker and sources over the wire."""
    led_there = {name: led(ways, node.host, url)[0] for name, url in stage.variables.items() if name.endswith("_URL")}
    words = ["celeryctl", "worker", "-c", "2", *node.options]
    log, variables = stage.folder / "far.log", {**stage.variables, **led_there}
    started = stage.programs.enter_context(process(words, log, variables, before=node.before))
    started.assert_says(" ready.", within=60)
    stage.workers["host1"] = started
    return started


@pytest.mark.parametrize("others", [0, 1])
def test_a_host_that_was_cut_off_goes_on_when_it_is_reached_again(
    others: int, tmp_path: Path, recovery: Recovery
) -> None:
    with new_nodes(1) as (node,), ExitStack() as ways, new_stage(tmp_path, latency=0.5) as stage:
        far, beat = far_worker(stage, node, ways), stage.beat()
        near = [stage.worker() for _ in range(others)]
        client = stage.fetch("all")
        eventually(lambda: stage.holder() is far, within=60)
        with hosts.parted(1):
            pass_time(20)
            assert value(FAR) == 0
            # Where there are others they do its work meanwhile.
            eventually(lambda: not near or value(LEFT_OPEN) == 0, within=PATIENCE * BOUND)
        stage.recovered(recovery, bound=BOUND)
        assert client.ended(within=60) == 0
        assert "Error:" not in client.text
        assert [one.end() for one in (beat, *near)] == [0] * (1 + others)
        eventually(lambda: value(FAR) == 1)
        assert stage.run("fetch", "all", "--refresh").returncode == 0
        stage.audit()
        assert far.lives
