import signal
from pathlib import Path

import pytest
from waiting import eventually

from .cockpit import Cockpit

pytestmark = pytest.mark.integration

LOCAL = ("--sources", "local")


@pytest.mark.slow
def test_detached_it_is_found_from_there_and_below_until_it_is_stopped(cockpit: Cockpit) -> None:
    assert "Ready in" in cockpit.ok("up", "--detach", *LOCAL)
    below = cockpit.folder / "below" / "it"
    below.mkdir(parents=True)
    assert "12" in cockpit.ok("psql", "-Atc", "SELECT 12", cwd=below)
    assert "worker1" in cockpit.ok("logs", "-n", "1", cwd=below)
    done = cockpit.run("down", cwd=below)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Stopped: up, api, worker1, beat\n"
    assert not cockpit.left()
    assert not list(below.iterdir())


@pytest.mark.slow
def test_a_fetch_goes_through_its_worker_and_the_next_start_goes_on_from_there(cockpit: Cockpit) -> None:
    cockpit.ok("up", "--detach", *LOCAL)
    again = cockpit.ok("up", "--detach", *LOCAL)
    assert f"running here already: pid {cockpit.document()['pid']}" in again
    cockpit.until_filled()
    assert '"Leanne Graham"' in cockpit.ok("users", "list", "--json")
    assert '"succeeded"' in cockpit.ok("fetch", "users", "--wait", "--json")
    tables = "SELECT id FROM runs ORDER BY id; SELECT id, user_id FROM addresses ORDER BY id"
    eventually(lambda: cockpit.ok("psql", "-Atc", "SELECT count(*) FROM runs WHERE status = 'running'") == "0\n")
    before = cockpit.ok("psql", "-Atc", tables).splitlines()
    cockpit.ok("down")
    cockpit.ok("up", "--detach", *LOCAL)
    assert set(cockpit.ok("psql", "-Atc", tables).splitlines()) >= set(before)
    assert cockpit.ok("psql", "-Atc", "SELECT count(*) FROM addresses") == "10\n"
    cockpit.ok("down")


def test_an_up_that_does_not_start_is_an_error_with_its_words(cockpit: Cockpit) -> None:
    cockpit.environment = {"FETCH_USERS_INTERVAL": "soon"}
    done = cockpit.run("up", "--detach", *LOCAL)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "FETCH_USERS_INTERVAL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_child_that_cannot_start_is_an_error_with_its_words(cockpit: Cockpit) -> None:
    (cockpit.folder / ".celeryctl").mkdir(mode=0o700)
    (cockpit.home / "valkey").write_text("in the way")
    done = cockpit.run("up", "--detach", *LOCAL)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("Error: celeryctl up does not start\n  why: ")
    assert not cockpit.left()
    (cockpit.home / "valkey").unlink()


@pytest.mark.slow
def test_one_that_is_stopped_while_it_starts_is_not_called_started(cockpit: Cockpit) -> None:
    starting = cockpit.start("up", "--detach", *LOCAL)
    eventually(lambda: cockpit.document().get("pid"))
    assert cockpit.run("down").returncode == 0
    out, err = starting.communicate(timeout=60)
    assert starting.returncode == 1, out
    assert err.splitlines()[0] == "Error: celeryctl up was stopped before it was ready"
    assert not cockpit.left()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT])
def test_whoever_breaks_off_the_waiting_ends_it(cockpit: Cockpit, number: int) -> None:
    starting = cockpit.start("up", "--detach", *LOCAL)
    eventually(lambda: cockpit.document().get("processes"))
    starting.send_signal(number)
    _, err = starting.communicate(timeout=60)
    assert starting.returncode == 130
    assert "Traceback" not in err
    eventually(lambda: not cockpit.left(), within=10)


def test_a_log_that_is_a_link_is_not_written_through(cockpit: Cockpit, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (cockpit.home / "logs").mkdir(parents=True, mode=0o700)
    cockpit.home.chmod(0o700)
    (cockpit.home / "logs" / "up.log").symlink_to(target)
    done = cockpit.run("up", "--detach", *LOCAL)
    assert done.returncode in {1, 2}, done
    assert not target.exists()
