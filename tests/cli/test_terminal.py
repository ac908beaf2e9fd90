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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_cancels_its_run(database: str, people: FaultServer, number: int) -> None:
    people.answer("/users", Reply.json([], delay=2))
    with subprocess.Popen([*FETCH, "-q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as fetch:
        eventually(lambda: people.requests)
        fetch.send_signal(number)
        out, _ = fetch.communicate(timeout=60)
    assert (fetch.returncode, out) == (130, b"")
    with session():
        assert [run.status for run in LedgerRun.select()] == ["cancelled"]
    assert database


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
