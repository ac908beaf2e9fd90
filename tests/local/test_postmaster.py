import io
import os
import stat
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from celeryctl import home as homes
from celeryctl.errors import LocalServerError
from celeryctl.local import wheels
from celeryctl.local.account import Account
from celeryctl.local.ports import free_port
from celeryctl.local.postgres import Postgres
from celeryctl.local.postmaster import Postmaster

from .embedded import ask, connected, ensure_with, family, install_wheel, postmaster

pytestmark = pytest.mark.integration


def test_nothing_but_loopback_with_the_password_reaches_it(standing: Postgres) -> None:
    url = standing.url()
    assert ask(url, "SHOW unix_socket_directories") == ""
    listening = [found.laddr for found in postmaster(standing.home).net_connections("all") if found.status == "LISTEN"]
    assert [address.ip for address in listening] == ["127.0.0.1"]
    assert (
        ask(url, "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%')::text FROM pg_authid WHERE rolcanlogin") == "true"
    )
    for password in ("wrong", ""):
        with pytest.raises(psycopg2.OperationalError, match=r"password"):
            psycopg2.connect(f"postgresql://postgres:{password}@127.0.0.1:{listening[0].port}/celeryctl")


def test_a_terminals_interrupt_cannot_reach_it(standing: Postgres) -> None:
    for process in family(postmaster(standing.home)):
        # A backend that had a client a moment ago may be gone by now.
        with suppress(ProcessLookupError):
            assert os.getsid(process.pid) != os.getsid(0)


def test_every_file_is_private(standing: Postgres) -> None:
    for top in {standing.home, Account.of(standing.home).folder}:
        for path in (top, *top.rglob("*")):
            found = path.lstat()
            assert stat.S_IMODE(found.st_mode) == (0o700 if stat.S_ISDIR(found.st_mode) else 0o600), path


def test_no_row_that_is_refused_reaches_the_log(standing: Postgres) -> None:
    with connected(standing.url()) as cursor:
        cursor.execute("CREATE TABLE cards (number text UNIQUE)")
        cursor.execute("INSERT INTO cards VALUES ('4111-1111')")
        with pytest.raises(psycopg2.errors.UniqueViolation, match="4111-1111"):
            cursor.execute("INSERT INTO cards VALUES ('4111-1111')")
        cursor.execute("PREPARE add AS INSERT INTO cards VALUES ($1)")
        with pytest.raises(psycopg2.errors.UniqueViolation, match="4111-1111"):
            cursor.execute("EXECUTE add('4111-1111')")
        with pytest.raises(psycopg2.errors.InvalidTextRepresentation, match="4111-1111"):
            cursor.execute("SELECT '4111-1111'::bigint")
        with pytest.raises(psycopg2.errors.BadCopyFileFormat, match="4111-1111"):
            cursor.copy_expert("COPY cards FROM STDIN", io.StringIO("4111-1111\t4111-1111\n"))
        cursor.execute("DO $$ BEGIN RAISE WARNING '4111-1111'; END $$")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(standing.url("not-there"))
    said = standing.log.read_text()
    assert "ready to accept connections" in said
    assert "not-there" in said  # what is no statement's error is there all the same
    assert "4111" not in said
    assert "INSERT" not in said


@pytest.mark.parametrize(
    "name", ['it\'s  in $HOME `id` "quoted" \\ ü', "/".join(["deep" * 15] * 12)], ids=["odd", "deep"]
)
def test_it_works_wherever_the_home_is(new_home: Path, name: str) -> None:
    place = new_home.parent / name / ".celeryctl"
    server = Postgres(place)
    try:
        assert ask(server.ensure(), "SELECT 1") == "1"
        server.stop()
        assert ask(server.ensure(), "SELECT 1") == "1"
    finally:
        server.remove()


@pytest.mark.slow
def test_it_works_wherever_the_wheel_is_installed(new_home: Path) -> None:
    place = new_home.parent / "/".join(["deep and  with spaces" * 3] * 6)
    place.mkdir(parents=True)
    # Below root the folder must be passable, or a copy of the wheel would be used.
    new_home.parent.chmod(0o755)
    install_wheel(place)
    assert ask(ensure_with(place, new_home), "SELECT 1") == "1"
    assert Path(postmaster(new_home).exe()) == place / wheels.BIN / "postgres"


def test_it_recovers_after_a_kill(home: Path) -> None:
    server = Postgres(home)
    with connected(server.ensure()) as cursor:
        cursor.execute("CREATE TABLE recovered AS SELECT 7 AS number")
        postmaster(home).kill()
        assert ask(server.ensure(), "SELECT number FROM recovered") == "7"


def test_the_pid_of_a_dead_server_may_be_somebody_elses_by_now(home: Path) -> None:
    server = Postgres(home)
    server.ensure()
    account = Account.of(home)
    pid_file = account.folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    identity = {"user": account.uid, "group": account.gid} if account.is_other else {}
    with subprocess.Popen(["sleep", "60"], **identity) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.stop()
        assert other.poll() is None
        assert ask(server.ensure(), "SELECT 1") == "1"
        assert other.poll() is None
        other.kill()


def test_a_port_that_is_taken_meanwhile_is_not_the_end(home: Path) -> None:
    server = Postgres(home)
    first = int(server.ensure().rsplit(":", 1)[1].split("/")[0])
    second = free_port()
    other = Postmaster(homes.create(home.parent / "other"), ports=iter([first, second]).__next__)
    try:
        other.set_up("password")
        other.start()
        assert other.port == second
    finally:
        Postgres(other.home).remove()


def test_why_it_cannot_be_set_up_is_told(new_home: Path) -> None:
    server = Postmaster(homes.create(new_home))
    server.account.prepare()
    (server.account.folder / "data.new").touch()
    with pytest.raises(LocalServerError, match=r'"data\.new"'):
        server.set_up("password")


def test_why_it_does_not_start_is_told_from_its_log(home: Path) -> None:
    server = Postgres(home)
    server.ensure()
    server.stop()
    version = Account.of(home).folder / "data" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(LocalServerError) as caught:
        server.ensure()
    version.write_text("18\n")
    assert caught.value.exit_code == 69
    assert "incompatible" in caught.value.why
    assert str(server.log) in caught.value.fix


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
def test_the_password_is_on_no_command_line_and_in_no_environment(new_home: Path) -> None:
    seen, done = set[bytes](), threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            for process in Path("/proc").glob("[0-9]*"):
                for part in ("cmdline", "environ"):
                    try:
                        seen.add((process / part).read_bytes())
                    except OSError:
                        continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    url = Postgres(new_home).ensure()
    done.set()
    watcher.join()
    password = url.split(":")[2].split("@")[0].encode()
    assert len(password) == 64
    assert any(b"initdb\0" in line for line in seen)
    assert not any(password in line for line in seen)
