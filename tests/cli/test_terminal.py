import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultserver import FaultServer, Reply
from screen import terminal
from waiting import eventually

from celeryctl.local import generate
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run as LedgerRun

from .commandline import Run

pytestmark = pytest.mark.integration

FETCH = [sys.executable, "-m", "celeryctl", "fetch", "users", "--sync"]


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Three users on loopback, set as the source."""
    with FaultServer() as server:
        monkeypatch.setenv("ALLOW_PRIVATE_SOURCES", "1")
        answer = Reply.json([generate.user(number, 0) for number in range(1, 4)])
        monkeypatch.setenv("USERS_URL", server.answer("/users", answer, Reply.json([])))
        yield server


@pytest.mark.usefixtures("database", "people")
def test_on_a_terminal_progress_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    changes = {"TERM": "xterm", "_TYPER_FORCE_DISABLE_TERMINAL": "", "COLUMNS": "80"}
    done = subprocess.run(
        FETCH, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, **changes}, timeout=60, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "3/3" in shown
    assert "succeeded, 3" not in shown


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_an_ascii_stdout_takes_bars_and_names(run: Run) -> None:
    assert run("seed", "3").code == 0
    for words in (["stats"], ["users", "list"], ["users", "show", "1"]):
        program = [sys.executable, "-m", "celeryctl", *words]
        changes = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
        done = subprocess.run(program, capture_output=True, env={**os.environ, **changes}, timeout=60, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
        assert done.stdout.isascii()


def statuses() -> list[str]:
    with session():
        return [run.status for run in LedgerRun.select()]


def test_when_its_terminal_goes_it_cancels_its_run_at_once(database: str, people: FaultServer) -> None:
    people.answer("/users", Reply.json([], delay=30))
    with subprocess.Popen([*FETCH, "-q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as fetch:
        eventually(lambda: people.requests)
        fetch.send_signal(signal.SIGHUP)
        out, _ = fetch.communicate(timeout=20)
    assert (fetch.returncode, out, statuses()) == (130, b"", ["cancelled"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_it_finishes_its_batch(database: str, people: FaultServer, number: int) -> None:
    people.answer("/users", Reply.json([], delay=2))
    with subprocess.Popen([*FETCH, "-q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as fetch:
        eventually(lambda: people.requests)
        fetch.send_signal(number)
        out, _ = fetch.communicate(timeout=60)
    assert (fetch.returncode, out, statuses()) == (130, b"", ["succeeded"])


SWALLOWED = """
import os, signal, sys
from celeryctl.cli import app
find = app.table.find
def swallow(name):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        pass
    return find(name)
app.table.find = swallow
app.main()
"""


@pytest.mark.usefixtures("database", "people")
def test_asked_to_end_while_something_swallows_that_it_ends_all_the_same() -> None:
    command = [sys.executable, "-c", SWALLOWED, *FETCH[3:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130, done
    assert statuses() == ["cancelled"]


@pytest.mark.usefixtures("database")
def test_ctrl_c_says_what_is_finished_and_again_cuts_it_off(people: FaultServer) -> None:
    people.answer("/users", Reply.json([], delay=30))
    with terminal("fetch", "users", "--sync", columns=120) as fetch:
        eventually(lambda: people.requests)
        fetch.press("\x03")
        fetch.assert_shows("Finishing the batch under way", "Ctrl-C again stops at once")
        assert statuses() == ["running"]
        fetch.press("\x03")
        assert fetch.end(within=15) == 130
        fetch.assert_shows("Cancelled; what was stored until now stays")
    assert statuses() == ["cancelled"]


@pytest.mark.usefixtures("database")
def test_ctrl_c_again_waits_for_none_of_the_requests_that_a_batch_has_under_way(people: FaultServer) -> None:
    people.answer("/users", Reply.json([generate.user(number, 0) for number in range(1, 251)]), Reply.json([]))
    assert subprocess.run(FETCH, capture_output=True, timeout=60, check=False).returncode == 0
    # The first one tells that the source is slow; the others are then under way at once.
    first = Reply.json([generate.address(number) for number in range(100)], delay=0.05)
    url = people.answer("/addresses", first, Reply.json([], delay=30))
    with terminal("fetch", "addresses", "--sync", columns=120, environment={"ADDRESSES_URL": url}) as fetch:
        eventually(lambda: len([one for one in people.requests if one.path == "/addresses"]) == 3)
        fetch.press("\x03")
        fetch.assert_shows("Ctrl-C again stops at once")
        fetch.press("\x03")
        assert fetch.end(within=10) == 130
    assert sorted(statuses()) == ["cancelled", "succeeded"]


@pytest.mark.usefixtures("database", "people")
def test_a_run_that_is_deleted_under_sync_is_named(people: FaultServer) -> None:
    people.answer("/users", Reply.json([], delay=1))
    with subprocess.Popen(FETCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as fetch:
        eventually(lambda: people.requests)
        with session():
            LedgerRun.delete().execute()
        _, err = fetch.communicate(timeout=60)
    assert fetch.returncode == 1
    assert "is no longer there" in err
    assert "fix: celeryctl runs" in err


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.usefixtures("database", "people")
def test_the_bar_fits_the_terminal(columns: int) -> None:
    with terminal("fetch", "users", "--sync", columns=columns, lines=30) as fetch:
        assert fetch.end() == 0
        (bar,) = (line for line in fetch.lines if line.startswith("users") and "3/3" in line)
        assert len(bar) <= columns


@pytest.mark.slow
@pytest.mark.usefixtures("people")
def test_with_nothing_set_the_database_is_there_for_the_time_of_the_command(server_home: Path) -> None:
    environment = {**os.environ, "CELERYCTL_HOME": str(server_home)}
    done = subprocess.run([*FETCH, "--json"], capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["created"] == 3
    listed = subprocess.run(
        [sys.executable, "-m", "celeryctl", "users", "list", "--json"],
        capture_output=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert len(json.loads(listed.stdout)["users"]) == 3
