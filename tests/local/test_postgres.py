import itertools
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from celeryctl import home as homes
from celeryctl.errors import HomeError, LocalServerError
from celeryctl.local.account import Account
from celeryctl.local.postgres import Postgres, lease
from celeryctl.local.postmaster import Postmaster

from .embedded import ENSURE, ask, connected, family, postmaster, running

pytestmark = pytest.mark.integration


def test_a_new_server_keeps_its_data_over_a_restart(new_home: Path) -> None:
    server = Postgres(new_home)
    assert not server.exists()
    url = server.ensure()
    assert server.exists()
    with connected(url) as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 'Zoë' AS name")
    processes = family(postmaster(new_home))
    server.stop()
    assert not running(processes)
    again = server.ensure()
    assert ask(again, "SELECT lower(name) FROM kept") == "zoë"
    assert server.ensure() == again == server.url()


def test_it_is_utf8_and_sorts_the_same_everywhere(standing: Postgres) -> None:
    url = standing.url()
    question = (
        "SELECT datlocprovider::text || ' ' || datlocale || ' ' || pg_encoding_to_char(encoding) FROM pg_database"
    )
    assert ask(url, question) == "b C.UTF-8 UTF8"
    assert ask(url, "SHOW fsync") == "on"


def test_another_database_has_a_url_of_its_own(standing: Postgres) -> None:
    with connected(standing.url()) as cursor:
        cursor.execute("CREATE DATABASE celeryctl_local")
    assert ask(standing.url("celeryctl_local"), "SELECT current_database()") == "celeryctl_local"
    assert standing.url("a/b?c").endswith("/a%2Fb%3Fc")


def test_psql_is_at_hand(standing: Postgres) -> None:
    command = [standing.binaries() / "psql", "-XAtc", "SELECT 1", standing.url()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


def test_several_at_once_get_the_same_server(new_home: Path) -> None:
    command = [sys.executable, "-c", ENSURE, str(new_home)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [starter.communicate() for starter in starters]
    assert [errors for _, errors in said] == [""] * 3
    assert len({url for url, _ in said}) == 1
    assert ask(said[0][0].strip(), "SELECT 1") == "1"


def test_data_whose_password_is_gone_are_kept_aside(new_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Postgres(new_home)
    with connected(server.ensure()) as cursor:
        cursor.execute("CREATE TABLE old ()")
    (new_home / "postgres" / "password").unlink()
    assert not server.exists()
    with caplog.at_level(logging.WARNING):
        assert ask(server.ensure(), "SELECT count(*) FROM pg_tables WHERE tablename = 'old'") == "0"
    (kept,) = Account.of(new_home).folder.glob("data.*")
    assert str(kept) in caplog.text


def test_a_password_that_is_wrong_is_told_at_once(home: Path) -> None:
    server = Postgres(home)
    server.ensure()
    file = home / "postgres" / "password"
    password = file.read_text()
    homes.write_private(file, "another")
    with pytest.raises(LocalServerError, match="password authentication failed"):
        server.ensure()
    homes.write_private(file, password)


def test_removing_leaves_neither_process_nor_data(new_home: Path) -> None:
    server = Postgres(new_home)
    server.ensure()
    processes = family(postmaster(new_home))
    server.remove()
    assert not running(processes)
    assert not server.exists()
    assert not Account.of(new_home).folder.exists()
    server.remove()
    server.stop()
    with pytest.raises(LocalServerError, match="not running"):
        server.url()


def test_a_dead_server_has_no_url(home: Path) -> None:
    server = Postgres(home)
    server.ensure()
    dead = postmaster(home)
    dead.kill()
    deadline = time.monotonic() + 10
    while Postmaster(home).alive and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(LocalServerError, match="not running"):
        server.url()


def test_stopping_what_was_never_there_creates_nothing(new_home: Path) -> None:
    Postgres(new_home).stop()
    Postgres(new_home).remove()
    assert not new_home.exists()


def test_a_home_that_is_not_ours_is_not_used(new_home: Path) -> None:
    homes.create(new_home).chmod(0o777)
    with pytest.raises(HomeError):
        Postgres(new_home).ensure()
    with pytest.raises(HomeError):
        Postgres(new_home).stop()
    with lease(new_home, create=False) as url:
        assert url is None
    new_home.chmod(0o700)


@pytest.mark.slow
def test_a_starter_that_is_killed_half_way_does_no_harm(new_home: Path) -> None:
    for delay, blow in itertools.product((0.15, 0.3, 0.5, 0.9), (signal.SIGKILL, signal.SIGINT)):
        command = [sys.executable, "-c", ENSURE, new_home]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
            time.sleep(delay)
            starter.send_signal(blow)
        if delay == 0.5:
            Postgres(new_home).remove()
            assert not Account.of(new_home).folder.exists()
    with lease(new_home, create=True) as url:
        assert ask(str(url), "SELECT 1") == "1"
    assert not Postmaster(new_home).alive
