"""`worker`, `beat` and `flower`: refused where they cannot work, and Celery's own process where they can."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from broker import Broker
from waiting import eventually

from celeryctl import cluster
from celeryctl.local.ports import free_port
from celeryctl.settings import new_key

from .kit import process, run, settings

pytestmark = pytest.mark.integration

NO_DATABASE, NO_BROKER = "postgresql://127.0.0.1:1/nowhere", "redis://127.0.0.1:1/0"
PROGRAMS = pytest.mark.parametrize("program", ["worker", "beat"])


@PROGRAMS
@pytest.mark.parametrize("unset", ["DATABASE_URL", "REDIS_URL"])
def test_half_a_cluster_is_refused(program: str, unset: str, tmp_path: Path) -> None:
    done = run({**settings(NO_DATABASE, NO_BROKER, tmp_path), unset: ""}, tmp_path, program)
    assert done.returncode == 2
    assert "half a cluster" in done.stderr
    assert len(done.stderr.splitlines()) == 3


@PROGRAMS
def test_without_a_broker_none_starts(program: str, database_url: str, tmp_path: Path) -> None:
    done = run(settings(database_url, NO_BROKER, tmp_path), tmp_path, program)
    assert (done.returncode, len(done.stderr.splitlines())) == (69, 3)
    assert "the broker does not answer" in done.stderr


@PROGRAMS
def test_without_a_database_none_starts(program: str, redis_url: str, tmp_path: Path) -> None:
    done = run(settings(NO_DATABASE, redis_url, tmp_path), tmp_path, program)
    assert (done.returncode, len(done.stderr.splitlines())) == (69, 3)
    assert "the database does not answer" in done.stderr


def test_without_tables_no_worker_starts(postgres_server: str, redis_url: str, tmp_path: Path) -> None:
    done = run(settings(postgres_server, redis_url, tmp_path), tmp_path, "worker")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 3)
    assert "celeryctl init-db" in done.stderr


def test_without_a_key_no_worker_starts(database_url: str, redis_url: str, tmp_path: Path) -> None:
    done = run({**settings(database_url, redis_url, tmp_path), "CARD_ENCRYPTION_KEYS": ""}, tmp_path, "worker")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert "CARD_ENCRYPTION_KEYS" in done.stderr


def test_with_a_wrong_key_no_worker_starts(database_url: str, redis_url: str, tmp_path: Path) -> None:
    environment = settings(database_url, redis_url, tmp_path)
    assert run(environment, tmp_path, "seed", "1").returncode == 0
    done = run({**environment, "CARD_ENCRYPTION_KEYS": str(new_key())}, tmp_path, "worker")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert "a key is missing" in done.stderr


@PROGRAMS
@pytest.mark.parametrize("password", [True, False])
def test_a_broker_that_lets_anybody_in_is_told_at_the_start(
    program: str, password: bool, postgres_server: str, redis_url: str, tmp_path: Path
) -> None:
    with open_broker(tmp_path) as anybodys:
        url = redis_url if password else anybodys
        done = run(settings(postgres_server, url, tmp_path), tmp_path, program)  # which ends for want of tables
    assert done.returncode == 1
    assert ("the broker lets publish who has no password" in done.stderr) == (not password)


@contextmanager
def open_broker(folder: Path) -> Iterator[str]:
    """A broker without a password."""
    broker = Broker(folder, "user default on nopass ~* &* +@all")
    broker.start()
    try:
        yield f"redis://127.0.0.1:{broker.port}/0"
    finally:
        broker.stop()


def test_a_worker_becomes_celerys_process_with_the_options_that_were_typed(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    words = ["celeryctl", "worker", "-c", "1", "-n", "mine@%h", "-Q", "aside", "--loglevel=warning"]
    with process(words, tmp_path / "log", settings(database_url, redis_url, tmp_path)) as worker:
        eventually(lambda: "mine@" in worker.text and ".> aside" in worker.text)
        line = psutil.Process(worker.pid).cmdline()
        assert line[1:7] == ["-P", "-m", "celeryctl.cluster", "-A", "celeryctl.celery", "worker"]
        assert line[-7:] == words[2:]
        assert not [word for word in line if "postgres" in word or "redis:" in word]
        assert "--loglevel=INFO" not in line


@pytest.mark.parametrize("program", ["worker", "beat", "flower"])
def test_nothing_that_lies_in_the_folder_is_run(
    program: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    folder = anybodys(tmp_path)
    variables = settings(database_url, redis_url, tmp_path, FLOWER_PORT=str(free_port()))
    with process(["celeryctl", program], tmp_path / "log", variables, folder) as started:
        started.assert_says({"worker": " ready.", "beat": "beat: Starting", "flower": "Visit me at"}[program])
    assert not (tmp_path / "was run").exists()


def anybodys(tmp_path: Path) -> Path:
    """A folder in which somebody has left modules that say when they are run."""
    folder = tmp_path / "anybodys"
    folder.mkdir()
    run_it = f"open({str(tmp_path / 'was run')!r}, 'a').write(__file__)"
    for name in ("celeryctl", "celery", "kombu", "redis", "tornado", "humanize", "celeryconfig", "flowerconfig"):
        (folder / f"{name}.py").write_text(run_it)
    return folder


def test_a_worker_that_is_started_anew_upon_sighup_imports_nothing_of_ours_by_a_wrong_name(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    variables = settings(database_url, redis_url, tmp_path, PYTHONPROFILEIMPORTTIME="1")
    with process(["celeryctl", "worker", "-c", "1"], tmp_path / "log", variables) as worker:
        worker.assert_says(" ready.")
        worker.ask(signal.SIGHUP)
        worker.assert_says(" ready.", times=2)
        _, _, anew = worker.text.rpartition("Restarting celery worker")
    imported = {line.rpartition("|")[2].strip() for line in anew.splitlines() if line.startswith("import time:")}
    assert "celeryctl.cluster.app" in imported
    assert imported & {one.stem for one in Path(cluster.__file__).parent.glob("*.py")} == set()
    # Celery loads its plug-ins by name: this is Flower's own.
    assert "flower.app" in imported


def test_a_worker_that_goes_into_the_background_runs_nothing_that_lies_in_the_folder(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    folder = anybodys(tmp_path)
    files = [f"--pidfile={tmp_path / 'pid'}", f"--logfile={tmp_path / 'log'}"]
    done = run(settings(database_url, redis_url, tmp_path), folder, "worker", "-D", "-c", "1", *files)
    assert done.returncode == 0, done.stderr
    eventually(lambda: (tmp_path / "was run").exists() or members(tmp_path / "pid"))
    assert not (tmp_path / "was run").exists()
    (worker, *_) = members(tmp_path / "pid")
    assert worker.cmdline()[1:4] == ["-P", "-m", "celeryctl.cluster"]
    worker.terminate()
    worker.wait(30)


def members(file: Path) -> list[psutil.Process]:
    """The worker whose id is in this file and its pool, once there is one."""
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        worker = psutil.Process(int(file.read_text()))
        if pool := worker.children():
            return [worker, *pool]
    return []


def test_flower_beyond_loopback_is_refused_without_a_password(redis_url: str, tmp_path: Path) -> None:
    done = run(settings(NO_DATABASE, redis_url, tmp_path, FLOWER_HOST="0.0.0.0"), tmp_path, "flower")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
    assert "FLOWER_BASIC_AUTH" in done.stderr


def test_where_flower_is_not_installed_the_extra_is_named(redis_url: str, tmp_path: Path) -> None:
    # A module that is None cannot be imported, as if it were not there.
    program = "import sys; sys.modules['flower'] = None; from celeryctl.cli.app import run; sys.exit(run(['flower']))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=settings(NO_DATABASE, redis_url, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 3)
    assert "celeryctl[flower]" in done.stderr


def test_flowers_password_is_not_on_its_command_line(redis_url: str, tmp_path: Path) -> None:
    port = str(free_port())
    variables = settings(
        NO_DATABASE, redis_url, tmp_path, FLOWER_BASIC_AUTH="ann:geheim", FLOWER_HOST="0.0.0.0", FLOWER_PORT=port
    )
    with process(["celeryctl", "flower"], tmp_path / "log", variables) as flower:
        flower.assert_says(f"http://0.0.0.0:{port}")
        assert f"--port={port}" in psutil.Process(flower.pid).cmdline()
        assert not [word for word in psutil.Process(flower.pid).cmdline() if "geheim" in word]
        assert "geheim" not in flower.text
        flower.kill()
