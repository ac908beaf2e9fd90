"""The examples of help and README, typed by a person whose cluster runs."""

import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest
from waiting import eventually

from celeryctl.cli.table import COMMANDS
from celeryctl.local.ports import free_port

from .cockpit import Cockpit, ended, new_cockpit

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EXAMPLES = [one for entry in COMMANDS for one in entry.examples]
# These go on until somebody ends them: what they say once they are at it, and the exit codes after Ctrl-C.
LASTING = {
    "worker": ("ready.", {1}),  # Celery's own code for it; SIGTERM ends it with 0
    "beat": ("beat: Starting", {0}),
    # 1 as long as it has not asked every worker, the signal where it is pressed again while it ends
    "flower": ("Visit me at", {0, 1, -signal.SIGINT}),
    "api": ("Serving 1000 users", {0}),
    "tail": ("users", {130}),
    "logs -f": ("worker1", {130}),
    "stats --watch": ("users", {0}),
    "metrics": ("Serving metrics", {0}),
}
# A run that stays under way: real ones are over before anybody could name them.
UNDER_WAY = """INSERT INTO runs (id, dataset, "trigger", page_size, batch_size)
VALUES ('{beginning}-0000-4000-8000-000000000000', 'example', 'test', 1, 1)"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cockpit]:
    """A terminal in a folder whose cluster has fetched everything once."""
    with new_cockpit() as cockpit:
        cockpit.environment["FLOWER_PORT"] = str(free_port())
        up = cockpit.filled()
        yield cockpit
        assert up.poll() is not None or ended(up)[0] == 0


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one != "down"])
def test_an_example_does_what_it_says(cluster: Cockpit, example: str) -> None:
    words = shlex.split(example)
    if words[0] == "cancel":
        cluster.ok("psql", "-c", UNDER_WAY.format(beginning=words[1]))
    for begin, (told, codes) in LASTING.items():
        if example.startswith(begin):
            last(cluster, words, told, codes)
            return
    done = cluster.run(*words)
    assert done.returncode == 0, done
    assert done.stdout + done.stderr


def last(cluster: Cockpit, words: list[str], told: str, codes: set[int]) -> None:
    """Start it, wait until it is at it, press Ctrl-C."""
    said = cluster.folder / "said"
    with said.open("wb") as file:
        process = cluster.start(*words, stdout=file, stderr=file)
        eventually(lambda: told in said.read_text(errors="replace") or process.poll() is not None, within=60)
        assert told in said.read_text(errors="replace")
        if words[0] == "flower":
            # While it starts, Flower may lose a Ctrl-C in what it does beside: a person presses again.
            eventually(lambda: pressed(process) is not None, within=60)
        assert ended(process)[0] in codes, said.read_text(errors="replace")


def pressed(process: "subprocess.Popen[str]") -> int | None:
    """The exit code, if one comes soon after a Ctrl-C."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        return None


def test_down_ends_it() -> None:
    with new_cockpit() as cockpit:
        up = cockpit.up()
        assert cockpit.run("down").returncode == 0
        assert up.wait(30) == 0
