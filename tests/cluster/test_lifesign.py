"""HEARTBEAT_FILE is touched as long as a worker or a beat turns, and by nothing else than that."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from broker import Broker
from waiting import eventually

from celeryctl.cluster import lifesign
from celeryctl.errors import SettingsError

from .kit import context, process, run, settings, worker

pytestmark = pytest.mark.integration

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
ROOT = Path(__file__).parents[2]
# What holds the event loop up for as long as that file is there: between two batches, and within one.
HOLD = """
import time
from pathlib import Path
from celery import signals
from celeryctl.cluster import lifesign
lifesign.EVERY, lifesign.PATIENCE = 0.1, 1
def hold(*_, **__):
    while Path({file!r}).exists():
        Path({file!r}).write_text("held")
        time.sleep(0.01)
"""
BETWEEN = "signals.worker_ready.connect(lambda sender, **_: sender.timer.call_repeatedly(0.1, hold), weak=False)"
WITHIN = "signals.task_prerun.connect(hold)"
CONNECTING = """
from celeryctl.cluster.guard import Consumer
connect = Consumer.connection_for_read
Consumer.connection_for_read = lambda self, heartbeat=None: hold() or connect(self, heartbeat)
"""
# A program whose loop never turns, and whose servers answer unless the second file is there.
WAITS = """
import sys
from pathlib import Path
from celeryctl.cluster import lifesign
lifesign.EVERY, lifesign.PATIENCE = 0.1, 1
sign = lifesign.LifeSign(Path(sys.argv[1]), lambda: not Path(sys.argv[2]).exists())
sign.watch()
sign.start()
sys.stdin.read()
"""
HELD_UP = 3  # seconds, thrice what is waited for


def check() -> str:
    """What the image asks, word for word."""
    (found,) = re.findall(r"^HEALTHCHECK [^\n]*\\\n\s+CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return str(found)


def healthy(file: Path) -> bool:
    command = ["/bin/sh", "-c", check()]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], "HEARTBEAT_FILE": str(file)}, check=False)
    return done.returncode == 0


def grow_old(file: Path) -> None:
    """As if it had been touched last a minute ago."""
    then = time.time() - 60
    os.utime(file, (then, then))


def pass_time() -> None:
    """More than an event loop may take that ought to turn."""
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > HELD_UP)


def assert_touched(file: Path) -> None:
    grow_old(file)
    eventually(lambda: healthy(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


@pytest.fixture
def given(database_url: str, broker: Broker, tmp_path: Path, file: Path) -> dict[str, str]:
    return settings(database_url, broker.url, tmp_path, HEARTBEAT_FILE=str(file))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """One that a test may stop."""
    found = Broker(tmp_path)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def hold(given: dict[str, str], tmp_path: Path) -> Path:
    """The file that holds a worker up which includes `hold`."""
    given["PYTHONPATH"] = str(tmp_path)
    return tmp_path / "hold"


def test_a_worker_touches_it_without_its_broker_and_not_while_it_stands_still(
    given: dict[str, str], broker: Broker, tmp_path: Path, file: Path, hold: Path
) -> None:
    (tmp_path / "held.py").write_text(HOLD.format(file=str(hold)))
    with worker(tmp_path / "log", given, "--include", "held") as started:
        assert_touched(file)
        broker.stop()
        started.assert_says("Connection to broker lost")
        pass_time()
        assert_touched(file)
        started.ask(signal.SIGSTOP)
        grow_old(file)
        assert not healthy(file)
        started.ask(signal.SIGCONT)
        eventually(lambda: healthy(file))


def test_a_loop_that_waits_for_a_server_is_not_stuck(tmp_path: Path, file: Path) -> None:
    away = tmp_path / "away"
    away.touch()
    with subprocess.Popen([sys.executable, "-P", "-c", WAITS, str(file), str(away)], stdin=subprocess.PIPE) as waits:
        try:
            eventually(file.exists)
            pass_time()
            assert_touched(file)
            away.unlink()
            eventually(lambda: time.time() - file.stat().st_mtime > HELD_UP)
            away.touch()
            assert_touched(file)
        finally:
            waits.kill()


@pytest.mark.parametrize(("broker_is", "database_is"), [(True, True), (False, True), (True, False)])
def test_servers_answer_when_both_do(
    database_url: str, redis_url: str, tmp_path: Path, broker_is: bool, database_is: bool
) -> None:
    nowhere = "postgresql://127.0.0.1:1/nowhere", "redis://127.0.0.1:1/0"
    given = settings(database_url if database_is else nowhere[0], redis_url if broker_is else nowhere[1], tmp_path)
    assert lifesign.servers_answer(context(given, tmp_path).settings) == (broker_is and database_is)


@pytest.mark.slow
def test_a_worker_that_ends_touches_it_until_its_batches_are_done(
    given: dict[str, str], tmp_path: Path, file: Path, hold: Path
) -> None:
    (tmp_path / "held.py").write_text(HOLD.format(file=str(hold)) + WITHIN)
    with worker(tmp_path / "log", given, "--include", "held") as started:
        hold.touch()
        assert run(given, tmp_path, "fetch", "users", "--detach").returncode == 0
        eventually(hold.read_text)
        started.ask(signal.SIGTERM)
        started.assert_says("Warm shutdown")
        pass_time()
        assert_touched(file)
        hold.unlink()
        assert started.ended() == 0


@pytest.mark.slow
def test_a_worker_whose_event_loop_is_stuck_touches_it_no_more_until_that_is_over(
    given: dict[str, str], tmp_path: Path, file: Path, hold: Path
) -> None:
    (tmp_path / "held.py").write_text(HOLD.format(file=str(hold)) + BETWEEN)
    with worker(tmp_path / "log", given, "--include", "held"):
        assert_touched(file)
        hold.touch()
        eventually(lambda: time.time() - file.stat().st_mtime > HELD_UP)
        grow_old(file)
        assert not healthy(file)
        hold.unlink()
        eventually(lambda: healthy(file))


@pytest.mark.slow
def test_a_worker_that_is_stuck_while_it_connects_touches_it_no_more(
    given: dict[str, str], broker: Broker, tmp_path: Path, file: Path, hold: Path
) -> None:
    (tmp_path / "held.py").write_text(HOLD.format(file=str(hold)) + CONNECTING)
    hold.touch()
    words = ["celeryctl", "worker", "-c", "1", "--include", "held"]
    with process(words, tmp_path / "log", given) as started, redis.Redis.from_url(broker.url) as admin:
        eventually(hold.read_text)
        eventually(lambda: time.time() - file.stat().st_mtime > HELD_UP)
        hold.unlink()
        started.assert_says(" ready.")
        assert_touched(file)
        hold.touch()
        admin.client_kill_filter(_type="normal")
        eventually(hold.read_text)
        eventually(lambda: time.time() - file.stat().st_mtime > HELD_UP)
        hold.unlink()
        assert_touched(file)


@pytest.mark.slow
def test_a_worker_that_does_its_batches_in_its_event_loop_touches_it_meanwhile(
    given: dict[str, str], tmp_path: Path, file: Path, hold: Path
) -> None:
    (tmp_path / "held.py").write_text(HOLD.format(file=str(hold)) + WITHIN)
    with worker(tmp_path / "log", given, "--pool", "solo", "--include", "held"):
        hold.touch()
        assert run(given, tmp_path, "fetch", "users", "--detach").returncode == 0
        eventually(hold.read_text)
        pass_time()
        assert_touched(file)
        hold.unlink()


def test_a_beat_touches_it_whether_it_stands_by_or_has_no_broker(
    given: dict[str, str], broker: Broker, tmp_path: Path, file: Path
) -> None:
    other = tmp_path / "other"
    with (
        process(["celeryctl", "beat"], tmp_path / "log", given) as first,
        process(["celeryctl", "beat"], tmp_path / "other.log", {**given, "HEARTBEAT_FILE": str(other)}) as second,
    ):
        eventually(lambda: "stands by" in first.text + second.text)
        assert_touched(file)
        assert_touched(other)
        broker.stop()
        assert_touched(file)
        for one in (first, second):
            one.ask(signal.SIGSTOP)
        grow_old(file)
        assert not healthy(file)
        for one in (first, second):
            one.ask(signal.SIGCONT)
        eventually(lambda: healthy(file))


def linked(file: Path) -> str:
    file.symlink_to(file.parent / "elsewhere")
    return "it is a symbolic link"


def anybodys(file: Path) -> str:
    file.touch()
    os.chown(file, 12345, -1)
    return "it belongs to user 12345"


def a_pipe(file: Path) -> str:
    os.mkfifo(file)
    return "No such device or address"


def a_folder(file: Path) -> str:
    file.mkdir()
    return "Is a directory"


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_what_is_no_file_of_ours_is_refused_at_the_start(
    program: str, given: dict[str, str], tmp_path: Path, file: Path
) -> None:
    why = linked(file)
    done = run(given, tmp_path, program)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert f"HEARTBEAT_FILE, {file}, cannot be used" in done.stderr
    assert why in done.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("kind", [linked, a_pipe, a_folder, pytest.param(anybodys, marks=AS_ROOT)])
def test_what_it_may_not_be(kind: Callable[[Path], str], file: Path) -> None:
    why = kind(file)
    with pytest.raises(SettingsError, match=why):
        lifesign.touch(file)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory") as refused:
        lifesign.touch(tmp_path / "nowhere" / "heartbeat")
    assert refused.value.fix == f"ls -ld {tmp_path}/nowhere"


def test_what_goes_wrong_later_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sign = lifesign.LifeSign(tmp_path / "nowhere" / "heartbeat", lambda: True)
    sign.touch()
    sign.touch()
    assert len(caplog.messages) == 1
    (tmp_path / "nowhere").mkdir()
    sign.touch()
    assert healthy(tmp_path / "nowhere" / "heartbeat")


def test_nobody_is_healthy_without_the_file(file: Path) -> None:
    assert not healthy(file)
    lifesign.touch(file)
    assert healthy(file)
