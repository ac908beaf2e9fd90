import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from celeryctl.local.postgres import Postgres, lease
from celeryctl.local.postmaster import Postmaster

from .embedded import ask, connected, family, postmaster, running

pytestmark = pytest.mark.integration

HOLD = """
import pathlib, sys, time
from celeryctl.local.postgres import lease
with lease(pathlib.Path(sys.argv[1]), create=True) as url:
    print(url, flush=True)
    time.sleep(60)
"""


def test_a_lease_does_not_create_unless_it_is_asked_to(new_home: Path) -> None:
    with lease(new_home, create=False) as url:
        assert url is None
    assert not new_home.exists()


def test_the_last_one_out_stops_the_server(home: Path) -> None:
    with lease(home, create=True) as url:
        assert url
        processes = family(postmaster(home))
        with lease(home, create=False) as same:
            assert same == url
        assert ask(url, "SELECT 1") == "1"
    assert not running(processes)
    with lease(home, create=False) as again:
        assert ask(str(again), "SELECT 1") == "1"


def test_the_server_stays_while_somebody_is_connected(home: Path) -> None:
    with lease(home, create=True) as url, connected(str(url)) as cursor:
        with lease(home, create=False):
            pass
        Postgres(home).stop_if_unused()
        cursor.execute("SELECT 1")
    with closing(psycopg2.connect(Postgres(home).ensure())) as connection, connection.cursor() as cursor:
        with lease(home, create=False):
            pass
        cursor.execute("SELECT 1")
    Postgres(home).stop_if_unused()
    assert not Postmaster(home).alive


def test_a_lease_that_ends_in_an_error_stops_the_server(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), lease(home, create=True):
        raise ZeroDivisionError
    assert not Postmaster(home).alive


def test_the_next_one_takes_over_what_a_killed_holder_left(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, home], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        url = holder.stdout.readline().strip()
        holder.send_signal(signal.SIGKILL)
    assert ask(url, "SELECT 1") == "1"
    with lease(home, create=False) as same:
        assert same == url
    assert not Postmaster(home).alive
