"""The watch view on real terminals, over a cluster that works, loses its servers and gets them back."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from broker import Broker, new_broker
from screen import CELERYCTL, Terminal, terminal
from waiting import eventually

from celeryctl.local.postmaster import Postmaster

from .kit import process, settings, sources, worker

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SIZES = [(80, 24), (120, 40), (40, 20)]


@dataclass
class Cluster:
    """What a test works with: the variables of the cluster, its broker, and where logs go."""

    variables: dict[str, str]
    broker: Broker
    folder: Path

    def fetch(self, stack: ExitStack) -> None:
        stack.enter_context(process(["celeryctl", "fetch", "all"], self.folder / "fetch.log", self.variables))


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Iterator[Cluster]:
    """A worker and a beat, and two thousand users at a source that takes its time."""
    with ExitStack() as stack:
        broker = stack.enter_context(new_broker())
        api = stack.enter_context(sources(users=2000, latency=0.2))
        variables = settings(database_url, broker.url, tmp_path, api=api, BATCH_SIZE="100", FETCH_THREADS="1")
        stack.enter_context(worker(tmp_path / "worker.log", variables))
        stack.enter_context(process(["celeryctl", "beat"], tmp_path / "beat.log", variables))
        yield Cluster(variables, broker, tmp_path)


def fits(shown: Terminal, columns: int, lines: int) -> bool:
    """The first line is at the top and the last at the bottom: nothing wrapped, nothing scrolled."""
    found = shown.lines
    whole = len(found) == lines and all(len(line) <= columns for line in found)
    return whole and found[0].startswith("celeryctl") and found[-1].startswith("Next: celeryctl")


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_a_fetch_is_followed_while_it_runs(cluster: Cluster, columns: int, lines: int) -> None:
    with ExitStack() as stack:
        watch = stack.enter_context(
            terminal("stats", "--watch", columns=columns, lines=lines, environment=cluster.variables)
        )
        watch.assert_shows("coverage" if columns >= 80 else "missing", "users")
        cluster.fetch(stack)
        watch.assert_shows("running")
        watch.assert_shows("2,000", "succeeded", within=60)
        assert fits(watch, columns, lines)
        watch.press("q")
        assert watch.end() == 0
    assert b"\x1b[?1049l" in watch.raw  # the screen that was there before is back
    assert b"\x1b[?25h" in watch.raw  # and so is the cursor


def test_the_first_screen_comes_before_any_answer(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x"
        with terminal("stats", "-w", environment={**cluster.variables, "DATABASE_URL": nobody}) as watch:
            watch.assert_shows("asking database and broker", "q quit")
            watch.press("q")
            assert watch.end() == 0


def test_keys_change_what_is_shown(cluster: Cluster) -> None:
    with terminal("stats", "--watch", environment=cluster.variables) as watch:
        watch.assert_shows("every 1 s", "worker")
        watch.press("+")
        watch.assert_shows("every 2 s")
        watch.press("--")
        watch.assert_shows("every 0.5 s")
        watch.press("?")
        watch.assert_shows("p pause", "+ slower")
        watch.press("?")
        eventually(lambda: "p pause" not in watch.text)
        watch.press("p")
        watch.assert_shows("paused")
        watch.press("p")
        watch.assert_shows("every 0.5 s")
        watch.press("q")
        assert watch.end() == 0


def test_the_screen_follows_the_size_of_the_terminal(cluster: Cluster) -> None:
    with terminal(
        "stats", "--watch", "--interval", "60s", columns=120, lines=40, environment=cluster.variables
    ) as watch:
        eventually(lambda: any("coverage" in line and "queue" in line for line in watch.lines))
        for columns, lines in ((80, 24), (40, 20), (120, 40)):
            watch.resize(columns, lines)
            assert eventually(lambda columns=columns, lines=lines: fits(watch, columns, lines))


@pytest.mark.parametrize("way", ["ctrl-c", "SIGTERM"])
def test_it_ends_with_0_and_leaves_the_terminal_as_it_was(cluster: Cluster, way: str) -> None:
    with terminal("stats", "--watch", environment=cluster.variables) as watch:
        watch.assert_shows("coverage")
        if way == "ctrl-c":
            watch.press("\x03")
        else:
            os.kill(watch.process.pid, signal.SIGTERM)
        assert watch.end() == 0
    assert watch.raw.count(b"\x1b[?1049h") == watch.raw.count(b"\x1b[?1049l") == 1
    assert b"Traceback" not in watch.raw


def test_a_broker_that_goes_and_comes_back_is_a_state(cluster: Cluster) -> None:
    with terminal("stats", "--watch", columns=120, lines=40, environment=cluster.variables) as watch:
        watch.assert_shows("0 waiting")
        cluster.broker.stop()
        watch.assert_shows("! the broker does not answer", "0 waiting", " s ago")
        assert "coverage" in watch.text
        cluster.broker.start()
        eventually(lambda: "the broker does not answer" not in watch.text and "every 1 s" in watch.text)


def test_an_embedded_database_that_comes_goes_and_comes_back_is_a_state(server_home: Path) -> None:
    environment = {"CELERYCTL_HOME": str(server_home)}
    server = Postmaster(server_home)
    with terminal("stats", "--watch", columns=120, lines=40, environment=environment) as watch:
        watch.assert_shows("! there is no database", "Next: celeryctl up")
        subprocess.run([*CELERYCTL, "seed"], env={**os.environ, **environment}, check=True, timeout=60)
        watch.assert_shows("100 %")
        assert "there is no database" not in watch.text
        server.stop()
        eventually(lambda: server.alive)  # started again by whoever looks
        eventually(lambda: "100 %" in watch.text and "every 1 s" in watch.text)
        watch.press("q")
        assert watch.end() == 0
    eventually(lambda: not server.alive)


def test_a_key_that_means_nothing_changes_nothing(cluster: Cluster) -> None:
    with terminal("stats", "--watch", environment=cluster.variables) as watch:
        watch.assert_shows("every 1 s", "coverage")
        watch.press("\x1b[A")
        watch.press("x")
        watch.press("+")
        watch.assert_shows("every 2 s")
        assert fits(watch, 80, 24)


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(cluster: Cluster) -> None:
    shell = {**cluster.variables, "PS1": "ready> ", "HISTFILE": "/dev/null"}
    with terminal(command=["bash", "--norc", "-i"], environment=shell) as watch:
        watch.assert_shows("ready>")
        watch.press(f"{shlex.quote(sys.executable)} -m celeryctl stats --watch\n")
        watch.assert_shows("every 1 s", "coverage")
        watch.press("\x1a")
        watch.assert_shows("Stopped", "ready>")
        assert watch.raw.count(b"\x1b[?1049h") == watch.raw.count(b"\x1b[?1049l") == 1
        watch.press("fg\n")
        eventually(lambda: watch.raw.count(b"\x1b[?1049h") == 2)
        watch.assert_shows("every 1 s", "coverage")
        watch.press("q")
        eventually(lambda: watch.raw.count(b"\x1b[?1049l") == 2)
        watch.press("echo $?$?\n")
        watch.assert_shows("00")


@pytest.mark.parametrize(
    ("changes", "bar"),
    [({"NO_COLOR": "1"}, "░"), ({"LC_ALL": "C"}, "------------"), ({"PYTHONIOENCODING": "ascii"}, "------------")],
)
def test_what_a_terminal_cannot_show_is_left_out(cluster: Cluster, changes: dict[str, str], bar: str) -> None:
    with terminal("stats", "--watch", environment={**cluster.variables, **changes}) as watch:
        watch.assert_shows("coverage", bar, "every 1 s")
        watch.press("q")
        assert watch.end() == 0
    assert (b"\x1b[1m" in watch.raw) == ("NO_COLOR" not in changes)
    assert watch.raw.isascii() == ("NO_COLOR" not in changes)


def test_a_terminal_that_cannot_be_drawn_over_gets_one_snapshot_after_the_other(cluster: Cluster) -> None:
    with terminal("stats", "--watch", environment={**cluster.variables, "TERM": "dumb"}) as watch:
        eventually(lambda: watch.raw.count(b"coverage") > 1)
        watch.press("\x03")
        assert watch.end() == 0
    assert b"\x1b" not in watch.raw


def test_a_database_that_is_away_from_the_beginning_is_a_state(cluster: Cluster, tmp_path: Path) -> None:
    nothing = {**cluster.variables, "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}
    with terminal("stats", "--watch", columns=120, lines=40, environment=nothing) as watch:
        watch.assert_shows("data sets  not reachable", "0 waiting", "! the database does not answer")


def test_as_ndjson_it_is_one_document_a_line(cluster: Cluster) -> None:
    program = [sys.executable, "-m", "celeryctl", "stats", "--watch", "--json", "--interval", "0.1s"]
    streaming = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **cluster.variables}
    )
    assert streaming.stdout is not None
    documents = [json.loads(streaming.stdout.readline()) for _ in range(3)]
    streaming.send_signal(signal.SIGINT)
    _, err = streaming.communicate(timeout=20)
    assert (streaming.returncode, err) == (0, b"")
    assert [one["schema"] for one in documents] == [1, 1, 1]
    assert sorted(one["at"] for one in documents) == [one["at"] for one in documents]
    assert documents[0]["at"] != documents[2]["at"]


def test_where_nobody_can_press_a_key_it_prints_one_snapshot_after_the_other(cluster: Cluster) -> None:
    program = [sys.executable, "-m", "celeryctl", "stats", "--watch", "--interval", "0.1s"]
    streaming = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **cluster.variables}
    )
    assert streaming.stdout is not None
    heads = 0
    while heads < 2:
        line = streaming.stdout.readline()
        assert "\x1b" not in line
        heads += line.startswith("celeryctl ")
    streaming.send_signal(signal.SIGINT)
    assert streaming.communicate(timeout=20)[1] == ""
    assert streaming.returncode == 0
