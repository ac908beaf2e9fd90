import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis

from celeryctl import home as homes
from celeryctl.errors import HomeError, LocalServerError
from celeryctl.local.ports import free_port
from celeryctl.local.valkey import Valkey

pytestmark = pytest.mark.integration

START_AND_DIE = """
import os, pathlib, sys
from celeryctl.local.valkey import Valkey
print(Valkey(pathlib.Path(sys.argv[1])).start(), flush=True)
os.kill(os.getpid(), 9)
"""

DIE_BEFORE_IT_IS_KNOWN = """
import json, os, pathlib, sys
from celeryctl.local import valkey

write = valkey.write_private

def die(path, text):
    if '"pid"' in text:
        print(json.loads(text)["pid"], flush=True)
        os.kill(os.getpid(), 9)
    write(path, text)

valkey.write_private = die
valkey.Valkey(pathlib.Path(sys.argv[1])).start()
"""


@pytest.fixture
def home(server_home: Path) -> Path:
    return server_home


@pytest.fixture
def server(home: Path) -> Iterator[Valkey]:
    started = Valkey(home)
    yield started
    started.stop()


@contextmanager
def client(url: str) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(url)) as connection:
        yield connection


def process(home: Path) -> psutil.Process:
    return psutil.Process(json.loads((home / "valkey" / "valkey.json").read_text())["pid"])


def start_and_die(home: Path) -> str:
    """The URL of a server whose starter was killed."""
    return printed(START_AND_DIE, home)


def printed(program: str, home: Path) -> str:
    return subprocess.run([sys.executable, "-c", program, home], stdout=subprocess.PIPE, text=True).stdout.strip()


def is_gone(found: psutil.Process) -> bool:
    """Whether it ends in time; a dead process may wait long for whoever adopted it to bury it."""
    deadline = time.monotonic() + 5
    with suppress(psutil.NoSuchProcess):
        while found.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True


def test_it_answers_until_it_is_stopped(home: Path, server: Valkey) -> None:
    with client(server.start()) as connection:
        assert connection.set("key", "value")
    found = process(home)
    assert os.getsid(found.pid) == found.pid
    server.stop()
    assert is_gone(found)
    assert not list((home / "valkey").glob("*.json"))
    server.stop()


def test_it_writes_nothing_but_its_log(home: Path, server: Valkey) -> None:
    with client(server.start()) as connection:
        connection.set("key", "value")
    server.stop()
    assert [path.name for path in (home / "valkey").iterdir()] == ["valkey.conf"]
    assert "ready to exit" in server.log.read_text()


def test_only_loopback_with_the_password_reaches_it(home: Path, server: Valkey) -> None:
    url = server.start()
    password = url.split(":")[2].split("@")[0]
    found = process(home)
    assert [use.laddr.ip for use in found.net_connections("all") if use.status == "LISTEN"] == ["127.0.0.1"]
    assert password not in " ".join(found.cmdline()) + str(found.environ()) + server.log.read_text()
    with client(url.replace(password, "wrong")) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with client(url.replace(f":{password}@", "")) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_every_file_is_private(home: Path, server: Valkey) -> None:
    server.start()
    for path in (home, *home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("name", ["a folder with spaces", 'it\'s "quoted" \\ $HOME ü', "/".join(["deep" * 15] * 12)])
def test_it_works_wherever_the_home_is(home: Path, name: str) -> None:
    server = Valkey(home.parent / name / ".celeryctl")
    with client(server.start()) as connection:
        assert connection.ping()
    server.stop()


def test_another_process_can_stop_it(home: Path, server: Valkey) -> None:
    server.start()
    found = process(home)
    program = "import pathlib, sys; from celeryctl.local.valkey import Valkey; Valkey(pathlib.Path(sys.argv[1])).stop()"
    other = subprocess.Popen([sys.executable, "-c", program, home])
    assert other.wait() == 0
    assert is_gone(found)
    server.stop()


def test_what_a_killed_predecessor_left_is_stopped_first(home: Path, server: Valkey) -> None:
    left = start_and_die(home)
    orphan = process(home)
    assert server.start() != left
    assert is_gone(orphan)


def test_an_orphan_that_was_not_written_down_yet_is_stopped_too(home: Path) -> None:
    left = start_and_die(home)
    orphan = process(home)
    homes.write_private(home / "valkey" / "valkey.json", json.dumps({"url": left}))
    Valkey(home).stop()
    assert is_gone(orphan)


def test_whoever_dies_before_it_is_written_down_leaves_none(home: Path) -> None:
    pid = int(printed(DIE_BEFORE_IT_IS_KNOWN, home))
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid)
        try:
            assert is_gone(found)
        finally:
            found.kill()


def test_one_that_does_not_listen_any_more_is_killed(home: Path) -> None:
    start_and_die(home)
    orphan = process(home)
    orphan.send_signal(signal.SIGSTOP)
    Valkey(home).stop()
    assert is_gone(orphan)


def test_a_process_that_has_its_pid_by_now_is_left_alone(home: Path) -> None:
    homes.create(home / "valkey")
    with subprocess.Popen(["sleep", "60"]) as other:
        state = {"url": f"redis://:x@127.0.0.1:{free_port()}/0", "pid": other.pid, "created": 0.0}
        homes.write_private(home / "valkey" / "valkey.json", json.dumps(state))
        Valkey(home).stop()
        assert other.poll() is None
        other.kill()


def test_a_port_that_is_taken_meanwhile_is_not_the_end(home: Path, valkey_server: str) -> None:
    taken = int(valkey_server.rsplit(":", 1)[1].split("/")[0])
    server = Valkey(home, ports=iter([taken, free_port()]).__next__)
    with client(server.start()) as connection:
        assert connection.ping()
    server.stop()
    server = Valkey(home, ports=lambda: taken)
    with pytest.raises(LocalServerError) as caught:
        server.start()
    assert "listening" in caught.value.why
    assert str(server.log) in caught.value.fix
    with client(valkey_server) as connection:
        assert connection.ping()


def test_it_comes_again_where_it_was_however_often_that_fails_before(home: Path, server: Valkey) -> None:
    url = server.start()
    server.stop()
    shutil.rmtree(home / "valkey")
    for _ in range(2):
        with pytest.raises(HomeError, match=r"valkey\.conf"):
            server.start_again()
    (home / "valkey").mkdir(mode=0o700)
    server.start_again()
    with client(url) as again:
        assert again.ping()


def test_stopping_what_was_never_there_creates_nothing(home: Path) -> None:
    Valkey(home).stop()
    assert not home.exists()


def test_a_home_that_is_not_ours_is_not_used(home: Path) -> None:
    homes.create(home).chmod(0o777)
    with pytest.raises(HomeError):
        Valkey(home).start()
    Valkey(home).stop()
    home.chmod(0o700)
