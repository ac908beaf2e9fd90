"""`logs`, `psql` and `seed`: what works on the home of this folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest
from psycopg2.extensions import parse_dsn
from waiting import eventually

from celeryctl.home import create
from celeryctl.local.logfiles import open_log

from .commandline import Run, assert_refused

MODULE = [sys.executable, "-m", "celeryctl"]


@contextmanager
def started(*arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command line that goes on beside us; at the end nothing is left of it nor of what it started."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*MODULE, *arguments], cwd=cwd, text=True, start_new_session=True, **streams) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of two processes in the home of this folder."""
    home = create(tmp_path / ".celeryctl")
    for name, text in (("beat", "one\ntwo\nat postgresql://u:s3cret@h/d\x1b[2J\n"), ("worker1", "[red]busy[/]\n")):
        with open_log(home, name) as file:
            file.write(text.encode())
    return home / "logs"


@pytest.mark.unit
def test_logs_show_every_process_with_its_name(run: Run, logs: Path) -> None:
    said = run("logs", "-n", "1")
    assert (said.code, said.err) == (0, "")
    assert said.out == "beat    | at postgresql://u:****@h/d\\x1b[2J\nworker1 | [red]busy[/]\n"
    assert logs.is_dir()


@pytest.mark.unit
def test_the_log_of_one_process_stands_alone(run: Run, logs: Path) -> None:
    assert run("logs", "beat", "-n", "2").out.splitlines()[0] == "two"
    assert run("logs", "beat", "-n", "0").out == ""
    assert logs.is_dir()


@pytest.mark.unit
def test_logs_as_json_are_one_document_per_line(run: Run, logs: Path) -> None:
    found = [json.loads(line) for line in run("logs", "--json", "-n", "1").out.splitlines()]
    assert found == [
        {"schema": 1, "process": "beat", "line": "at postgresql://u:****@h/d\\x1b[2J"},
        {"schema": 1, "process": "worker1", "line": "[red]busy[/]"},
    ]
    assert logs.is_dir()


@pytest.mark.unit
def test_a_process_that_is_not_there_and_no_logs_at_all_are_told(run: Run, logs: Path) -> None:
    assert_refused(run("logs", "beet"), 2, "there is no log of 'beet'", "there are: beat, worker1")
    for file in logs.iterdir():
        file.unlink()
    assert_refused(run("logs"), 1, "no log files", "celeryctl up")
    assert_refused(run("logs", "-n", "-1"), 2, "'--lines' / '-n'")


@pytest.mark.integration
def test_logs_can_be_followed_into_a_pipe_until_ctrl_c(logs: Path) -> None:
    with started("logs", "worker1", "-f", cwd=logs) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "[red]busy[/]\n"
        with (logs / "worker1.log").open("a") as file:
            file.write("more\n")
        assert process.stdout.readline() == "more\n"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said


@pytest.mark.unit
def test_psql_where_there_is_no_database_creates_none(run: Run, tmp_path: Path) -> None:
    assert_refused(run("psql"), 69, "there is no database here yet", "celeryctl up")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_psql_takes_its_options_and_its_input_and_its_exit_code_is_ours(database: str) -> None:
    def ask(*options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MODULE, "psql", "-XAt", *options], input=typed, capture_output=True, text=True)

    piped = ask(typed="SELECT count(*) FROM users;\n")
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "0\n", "")
    assert ask("-v", "ON_ERROR_STOP=1", typed="SELECT nothing;\n").returncode == 3
    assert ask("--no-such-option").returncode == 1
    assert database


@pytest.mark.integration
def test_the_password_is_on_no_command_line_while_psql_runs(database: str) -> None:
    password = parse_dsn(database).get("password") or "password"
    with started("psql", "-Xc", "SELECT pg_sleep(600) AS watched") as process:
        # It is logged in and at work: nothing of its command line is still to come.
        eventually(lambda: _at_work(database, "SELECT pg_sleep(600) AS watched"))
        us = psutil.Process(process.pid)
        (psql,) = us.children()
        assert not [word for one in (us, psql) for word in one.cmdline() if password in word]
        assert any("dbname=" in word for word in psql.cmdline())
        psql.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert password not in out


def _at_work(database: str, query: str) -> bool:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'", [query])
        return cursor.fetchone() is not None


@pytest.mark.integration
def test_seeding_tells_what_it_made_and_needs_no_network(run: Run, database: str) -> None:
    said = run("seed", "25", "--seed", "3", "--json")
    assert said.code == 0
    assert [(one["dataset"], one["trigger"], one["created"], one["requests"]) for one in json.loads(said.out)["runs"]] \
        == [(name, "seed", 25, 0) for name in ("users", "addresses", "credit_cards")]  # fmt: skip
    again = json.loads(run("seed", "25", "--seed", "3", "--json").out)["runs"]
    assert [(one["created"], one["updated"], one["unchanged"]) for one in again] == [(0, 0, 25), (0, 0, 0), (0, 0, 0)]
    assert database


@pytest.mark.integration
@pytest.mark.parametrize("count", ["0", "-1", "1.5", "many", ""])
def test_a_number_that_is_none_is_refused(run: Run, database: str, count: str) -> None:
    assert_refused(run("seed", count), 2, "celeryctl help seed")
    assert database
