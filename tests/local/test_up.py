"""`up` as a person meets it: real processes, the embedded servers, the local sources."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
from servers import KEY, dispose
from waiting import eventually

from celeryctl.local.children import GRACE
from celeryctl.local.logfiles import LARGEST

from .cockpit import Cockpit, ended, listens, two_ports
from .embedded import postmaster

pytestmark = pytest.mark.integration

LOCAL = ("--sources", "local")
FULL = {"total_users": 10, "total_addresses": 10, "total_credit_cards": 10, "users_with_both": 10}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def assert_full(document: str) -> None:
    assert json.loads(document).items() >= FULL.items()


def family(up: "subprocess.Popen[str]", cockpit: Cockpit) -> set[psutil.Process]:
    """Everything that an `up` has running, PostgreSQL included."""
    server = postmaster(cockpit.home)
    return {*psutil.Process(up.pid).children(recursive=True), server, *server.children(recursive=True)}


def assert_ends_well(up: "subprocess.Popen[str]", cockpit: Cockpit, processes: set[psutil.Process], told: str) -> None:
    """Asked to end it does, has told that, and leaves nothing."""
    code, out, err = ended(up)
    assert (code, err) == (0, "")
    assert told in out
    assert not living(processes)
    assert not cockpit.left()


def valkey(processes: set[psutil.Process]) -> psutil.Process:
    return next(one for one in processes if one.name() == "valkey-server")


def living(processes: set[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_one_round_prints_the_stats_ends_well_and_leaves_nothing(cockpit: Cockpit) -> None:
    done = cockpit.run("up", "--once", "--json", *LOCAL)
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document.items() >= FULL.items()
    assert document["coverage_stats"]["full_coverage_percent"] == 100
    assert [one["name"] for one in document["workers"]] == [f"worker1@{socket.gethostname()}"]
    assert "Ready in" in done.stderr
    assert not (cockpit.home / "up.json").exists()
    assert not cockpit.left()


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_asked_once_it_ends_well_and_takes_everything_with_it(cockpit: Cockpit, number: int) -> None:
    cockpit.environment = {"METRICS_PORT": str(port := two_ports())}
    up = cockpit.filled("--workers", "2")
    eventually(lambda: listens(port) and listens(port + 1))
    processes = family(up, cockpit)
    names = [one["name"] for one in cockpit.document()["processes"]]
    assert names == ["api", "worker1", "worker2", "beat"]
    assert len(processes) > len(names)
    cockpit.until_filled()
    code, out, err = ended(up, number)
    assert (code, err) == (0, ""), (out, err)
    assert "Stopped. The data are kept" in out
    assert not living(processes)
    assert not (cockpit.home / "up.json").exists()
    assert_full(cockpit.ok("stats", "--json"))


@pytest.mark.slow
def test_asked_twice_it_does_not_wait_for_a_child_that_will_not_end(cockpit: Cockpit) -> None:
    up = cockpit.up()
    processes = family(up, cockpit)
    beat, worker = cockpit.child("beat"), cockpit.child("worker1")
    worker.suspend()
    up.send_signal(signal.SIGINT)
    eventually(lambda: not living({beat}))
    assert living({worker})
    assert up.poll() is None
    up.send_signal(signal.SIGINT)
    # Without the second one it would have the whole time of grace, and beat took next to nothing of that.
    eventually(lambda: not living({worker}), within=GRACE / 2)
    _, err = up.communicate(timeout=60)
    assert (up.returncode, err) == (0, "")
    assert not living(processes)


@pytest.mark.slow
def test_asked_at_any_moment_of_the_start_it_leaves_nothing(cockpit: Cockpit) -> None:
    for number in range(6):
        up = cockpit.start("up", *LOCAL)
        seen = [lambda: (cockpit.home / "up.json").exists(), lambda: cockpit.document().get("processes"),
                lambda: len(cockpit.document().get("processes", [])) > 1][number % 3]  # fmt: skip
        eventually(seen)
        code, out, err = ended(up, SIGNALS[number % 3])
        assert code == 0, (out, err)
        assert "Traceback" not in err
        assert not cockpit.left()


@pytest.mark.slow
def test_a_killed_one_is_cleaned_up_by_the_next_and_by_down(cockpit: Cockpit) -> None:
    first = cockpit.up()
    # An `up` does not wait for its beat, and a beat that finds its `up` gone while it starts ends by itself.
    cockpit.until_beat()
    orphans = family(first, cockpit)
    first.kill()
    first.wait()
    assert living(orphans)
    second = cockpit.filled()
    assert not living(orphans - {postmaster(cockpit.home), *postmaster(cockpit.home).children()})
    cockpit.until_filled()
    cockpit.until_beat()
    orphans = family(second, cockpit)
    second.kill()
    out, _ = second.communicate()
    stopped = next(line for line in out.splitlines() if line.startswith("Stopped first"))
    assert stopped == "Stopped first, left by an `up` that was killed: api, worker1, beat"
    done = cockpit.run("down")
    assert (done.returncode, done.stderr) == (0, "Stopped: api, worker1, beat\n")
    assert not living(orphans)
    assert_full(cockpit.ok("stats", "--json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["api", "worker1", "beat"])
def test_a_child_that_dies_is_started_again(cockpit: Cockpit, name: str) -> None:
    up = cockpit.filled()
    cockpit.until_beat()
    before = family(up, cockpit)
    killed = cockpit.child(name)
    below = {killed, *killed.children(recursive=True)}
    killed.kill()
    eventually(lambda: cockpit.pid(name) != killed.pid)
    eventually(lambda: not living(below))
    done = cockpit.run("fetch", "all", "--refresh")
    assert done.returncode == 0, done
    log = cockpit.home / "logs" / f"{name}.log"
    os.truncate(log, LARGEST + 1)
    eventually(lambda: log.stat().st_size < LARGEST)
    assert log.with_name(f"{log.name}.1").stat().st_size > LARGEST
    told = f"{name} has ended (by SIGKILL); it is started again at once. See: celeryctl logs {name}"
    assert_ends_well(up, cockpit, before, told)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["valkey", "postgres"])
def test_an_embedded_server_that_dies_is_started_again_where_it_was(cockpit: Cockpit, name: str) -> None:
    up = cockpit.filled()
    before, settings = family(up, cockpit), cockpit.document()["settings"]
    server = postmaster(cockpit.home) if name == "postgres" else valkey(before)
    server.kill()
    eventually(lambda: cockpit.run("fetch", "all", "--refresh").returncode == 0, within=90)
    assert cockpit.document()["settings"] == settings
    told = f"{name} has ended, and nobody here has asked it to; it is started again at once"
    assert_ends_well(up, cockpit, before, told)


@pytest.mark.slow
def test_what_ends_again_and_again_is_given_longer_pauses_in_which_ctrl_c_is_heard(cockpit: Cockpit) -> None:
    up = cockpit.filled()
    for _ in range(4):
        killed = cockpit.child("beat")
        killed.kill()
        eventually(lambda killed=killed: cockpit.pid("beat") != killed.pid)  # type: ignore[misc]
    cockpit.child("beat").kill()
    code, out, err = ended(up)
    assert (code, err) == (0, ""), out
    pauses = [line.split("again ")[1].split(".")[0] for line in out.splitlines() if "beat has ended" in line]
    assert pauses[:4] == ["at once", "in 1 s", "in 2 s", "in 4 s"]
    assert not cockpit.left()


@pytest.mark.slow
def test_of_two_at_the_same_instant_one_runs_and_the_other_says_so(cockpit: Cockpit) -> None:
    both = [cockpit.start("up", *LOCAL) for _ in range(2)]
    eventually(lambda: cockpit.document().get("ready"), within=60)
    other = next(one for one in both if one.pid != cockpit.document()["pid"])
    out, err = other.communicate(timeout=30)
    assert (other.returncode, err) == (0, "")
    assert "celeryctl up is running here already" in out
    third = cockpit.run("up", *LOCAL)
    assert third.returncode == 0
    assert f"running here already: pid {cockpit.document()['pid']}" in third.stdout
    assert ended(next(one for one in both if one is not other))[0] == 0


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_silently(cockpit: Cockpit) -> None:
    up = cockpit.start("up", *LOCAL)
    assert up.stdout
    assert up.stdout.readline().startswith("Starting celeryctl in")
    up.stdout.close()
    up.wait(60)
    assert up.stderr
    assert up.stderr.read() == ""
    assert not cockpit.left()


@pytest.mark.slow
def test_a_terminal_in_ascii_and_a_folder_with_other_letters_and_spaces(tmp_path: Path, cockpit: Cockpit) -> None:
    there = Cockpit(cockpit.folder / "my prüfung, $(x) 'n' more", {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    there.folder.mkdir()
    cockpit.started = there.started
    try:
        assert_full(there.ok("up", "--once", "--json", *LOCAL))
    finally:
        dispose(there.home)


@pytest.mark.slow
def test_in_a_very_deep_folder(cockpit: Cockpit) -> None:
    deep = Cockpit(cockpit.folder.joinpath(*["deep" * 15] * 8))
    deep.folder.mkdir(parents=True)
    try:
        assert_full(deep.ok("up", "--once", "--json", *LOCAL))
    finally:
        dispose(deep.home)
        deep.clear()


@pytest.mark.slow
def test_live_sources_that_are_away_do_not_keep_it_from_starting(cockpit: Cockpit) -> None:
    cockpit.environment = {f"{name}_URL": "http://127.0.0.1:1/none" for name in ("USERS", "ADDRESSES", "CREDIT_CARDS")}
    cockpit.environment |= {"ALLOW_PRIVATE_SOURCES": "1", "HTTP_MAX_TRIES": "1"}
    done = cockpit.run("up", "--once", "--json", "--sources", "live")
    assert done.returncode == 69, done
    assert json.loads(done.stdout)["total_users"] == 0
    assert "failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_flower_is_served_and_a_port_in_use_is_named(cockpit: Cockpit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cockpit.environment = {"FLOWER_PORT": str(port)}
        done = cockpit.run("up", "--flower", *LOCAL)
        assert done.returncode == 1, done
        assert done.stderr.startswith(f"Error: Flower cannot listen on 127.0.0.1:{port}")
        assert "in use" in done.stderr
        assert "FLOWER_PORT" in done.stderr
        assert not cockpit.left()
    up = cockpit.up("--flower")
    eventually(lambda: listens(port))
    assert ended(up)[0] == 0


@pytest.mark.slow
def test_local_sources_do_not_go_with_a_database_of_ones_own(cockpit: Cockpit, database_url: str) -> None:
    cockpit.environment = {"DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY}
    done = cockpit.run("up", "--once", *LOCAL)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "Error: --sources local does not go with DATABASE_URL"
    cockpit.environment |= {f"{name}_URL": "http://127.0.0.1:1/" for name in ("USERS", "ADDRESSES", "CREDIT_CARDS")}
    cockpit.environment |= {"ALLOW_PRIVATE_SOURCES": "1"}
    done = cockpit.run("up", "--once")
    assert done.returncode == 69, done
    assert "DATABASE_URL is set" in done.stderr
    assert not cockpit.left()


def test_with_a_wrong_key_it_starts_nothing_and_leaves_nothing(cockpit: Cockpit) -> None:
    cockpit.ok("seed", "1")
    cockpit.environment = {"CARD_ENCRYPTION_KEYS": KEY}
    done = cockpit.run("up", "--sources", "live")
    assert done.returncode == 2, done
    what, why, fix = done.stderr.splitlines()
    assert what == "Error: a key is missing"
    assert "values are encrypted with" in why
    assert fix.startswith("  fix: add it to CARD_ENCRYPTION_KEYS")
    assert "running" not in done.stdout
    assert not cockpit.left()


def test_a_home_that_is_no_folder_is_refused_in_three_lines(cockpit: Cockpit) -> None:
    cockpit.home.write_text("")
    done = cockpit.run("up", "--once", *LOCAL)
    assert done.returncode in {1, 2}, done
    assert [line[:6] for line in done.stderr.splitlines()] == ["Error:", "  why:", "  fix:"]
    cockpit.home.unlink()


def test_a_home_that_others_can_write_is_refused(cockpit: Cockpit) -> None:
    cockpit.environment = {"CELERYCTL_HOME": str(cockpit.home)}
    cockpit.home.mkdir()
    cockpit.home.chmod(0o777)
    done = cockpit.run("up", "--once", *LOCAL)
    assert done.returncode in {1, 2}, done
    assert "can be written by others" in done.stderr
    assert [line[:6] for line in done.stderr.splitlines()] == ["Error:", "  why:", "  fix:"]
    assert not list(cockpit.home.iterdir())
    cockpit.home.rmdir()
