"""What the tests of the embedded PostgreSQL ask and look at."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2

from celeryctl.local import wheels
from celeryctl.local.account import Account

ENSURE = """
import pathlib, sys
from celeryctl.local.postgres import Postgres
print(Postgres(pathlib.Path(sys.argv[1])).ensure())
"""


@contextmanager
def connected(url: str) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        yield cursor


def ask(url: str, question: str) -> str:
    with connected(url) as cursor:
        cursor.execute(question)
        return str(cursor.fetchone()[0])


def install_wheel(place: Path) -> None:
    """Put a copy of the wheel's files where `sys.path` may find it."""
    source = wheels.postgres().parents[2]
    shutil.copytree(
        source / wheels.PACKAGE, place / wheels.PACKAGE, ignore=shutil.ignore_patterns("include", "pginstall")
    )
    for libraries in source.glob(f"{wheels.PACKAGE}.libs"):
        shutil.copytree(libraries, place / libraries.name)


def ensure_with(place: Path, home: Path) -> str:
    """The URL of a server that another process starts, with the wheel that lies in `place`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *sys.path])}
    done = subprocess.run([sys.executable, "-c", ENSURE, home], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.strip()


def postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((Account.of(home).folder / "data" / "postmaster.pid").read_text().split()[0]))


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
