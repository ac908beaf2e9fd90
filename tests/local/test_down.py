import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
from waiting import eventually

from celeryctl.errors import CeleryctlError
from celeryctl.home import create, held, lock, write_private
from celeryctl.local.children import created
from celeryctl.local.down import down, remove_data
from celeryctl.local.postgres import Postgres, lease

from .cockpit import Cockpit

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
LINGERS = """
import signal, sys, time
from pathlib import Path
from celeryctl.home import lock
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    with lock(Path(sys.argv[1], "up.lock")):
        print("there", flush=True)
        time.sleep(600)
finally:
    time.sleep(1)
"""


def test_where_nothing_was_ever_started_nothing_happens_and_nothing_is_made(tmp_path: Path) -> None:
    assert down(tmp_path / ".celeryctl") == []
    assert not remove_data(tmp_path / ".celeryctl")
    assert not list(tmp_path.iterdir())


def test_an_up_that_has_not_said_who_it_is_cannot_be_ended_yet(tmp_path: Path) -> None:
    home = create(tmp_path / ".celeryctl")
    with lock(home / "up.lock"), pytest.raises(CeleryctlError, match="cannot be found") as refused:
        down(home)
    assert "in a moment" in str(refused.value.fix)


def test_the_next_up_is_neither_waited_for_nor_ended(tmp_path: Path) -> None:
    home = create(tmp_path / ".celeryctl")
    up = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        own = {"pid": up.pid, "created": created(psutil.Process(up.pid)), "processes": []}
        write_private(home / "up.json", json.dumps(own))
        # The lock is ours, as if the next one had taken it at once; the first is a zombie until somebody buries it.
        with lock(home / "up.lock"):
            assert down(home) == ["up"]
            assert (home / "up.json").exists()
            assert held(home / "up.lock")
    finally:
        up.kill()
        up.wait()


def test_it_comes_back_when_the_up_is_gone_not_when_it_lets_go(tmp_path: Path) -> None:
    home = create(tmp_path / ".celeryctl")
    up = subprocess.Popen([sys.executable, "-c", LINGERS, home], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert up.stdout
        assert up.stdout.readline() == b"there\n"
        own = {"pid": up.pid, "created": created(psutil.Process(up.pid)), "processes": []}
        write_private(home / "up.json", json.dumps(own))
        assert down(home) == ["up"]
        assert up.poll() is not None
    finally:
        up.kill()
        up.communicate()


def test_a_pid_that_is_anothers_by_now_is_left_alone(tmp_path: Path) -> None:
    home = create(tmp_path / ".celeryctl")
    other = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        stale = {"name": "worker1", "pid": other.pid, "created": created(psutil.Process(other.pid)) - 60}
        write_private(home / "up.json", json.dumps({**stale, "processes": [stale]}))
        assert down(home) == []
        assert other.poll() is None
        assert not (home / "up.json").exists()
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("written", ["", "[]", '{"processes": 7}', '{"processes": [7, {}, {"pid": "x"}]}'])
def test_an_up_json_that_is_no_longer_whole_is_put_away(tmp_path: Path, written: str) -> None:
    home = create(tmp_path / ".celeryctl")
    write_private(home / "up.json", written)
    assert down(home) == []
    assert not (home / "up.json").exists()


@pytest.mark.slow
def test_data_that_somebody_uses_are_not_deleted(server_home: Path) -> None:
    with lease(server_home, create=True) as url:
        with pytest.raises(CeleryctlError, match="not deleted"):
            remove_data(server_home)
        with closing(psycopg2.connect(str(url))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    assert remove_data(server_home)
    assert not Postgres(server_home).exists()
    assert not remove_data(server_home)


@pytest.mark.slow
def test_on_the_command_line_data_go_only_after_a_yes(cockpit: Cockpit) -> None:
    cockpit.ok("init-db")
    key = (cockpit.home / "card.key").exists()
    refused = cockpit.run("down", "--data")
    assert refused.returncode not in {0, 3, 4, 69}, refused
    assert "Traceback" not in refused.stderr
    assert Postgres(cockpit.home).exists()
    kept = cockpit.run("down")
    assert (kept.returncode, kept.stdout) == (0, "")
    assert Postgres(cockpit.home).exists()
    done = cockpit.run("down", "--data", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert "The data are deleted" in done.stderr
    assert not Postgres(cockpit.home).exists()
    assert (cockpit.home / "card.key").exists() == key
    assert "There were no data" in cockpit.run("down", "--data", "--yes").stderr


@pytest.mark.slow
def test_while_another_command_uses_the_database_the_data_stay(cockpit: Cockpit) -> None:
    cockpit.ok("init-db")
    busy = cockpit.start("psql", "-Atc", "SELECT pg_sleep(600)")
    eventually(lambda: _somebody_is_connected(cockpit.home))
    done = cockpit.run("down", "--data", "--yes")
    assert done.returncode == 1, done
    assert "another command is using them" in done.stderr
    for process in psutil.Process(busy.pid).children():
        process.terminate()
    busy.communicate()
    cockpit.ok("down", "--data", "--yes")


def _somebody_is_connected(home: Path) -> bool:
    try:
        with closing(psycopg2.connect(Postgres(home).url("postgres"))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
            return bool(cursor.fetchone()[0])
    except (psycopg2.OperationalError, CeleryctlError):
        return False


def test_a_wrong_setting_does_not_keep_it_from_stopping(cockpit: Cockpit) -> None:
    cockpit.environment |= {"FETCH_USERS_INTERVAL": "soon", "CELERYCTL_DATASETS": "nowhere"}
    done = cockpit.run("down")
    assert (done.returncode, done.stderr) == (0, f"Nothing was running in {cockpit.home}\n")
