import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from servers import KEY
from storage.ledgerkit import people, sql
from waiting import eventually

from celeryctl.errors import CeleryctlError
from celeryctl.local import shell
from celeryctl.local.postgres import Postgres
from celeryctl.local.postmaster import Postmaster
from celeryctl.pipeline.context import Context
from celeryctl.storage import database as db
from celeryctl.storage import schema, server

pytestmark = pytest.mark.integration

SHOW = 'printf "%s\\n" "$@" > "$SHOWN"; printf "%s" "$PGPASSWORD" > "$SHOWN.password"; exit 7\n'


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A psql in PATH that writes down what it was called with; change it to have another."""
    program = tmp_path / "bin" / "psql"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{SHOW}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SHOWN", str(tmp_path / "shown"))
    return program


def context(url: str) -> Context:
    return Context.read({"DATABASE_URL": url, "CARD_ENCRYPTION_KEYS": KEY})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@db.example:5433/app?sslmode=require",
        "postgresql://me@db.example:5433/app?password=s3cret",
    ],
)
def test_the_password_is_not_on_the_command_line(fake: Path, tmp_path: Path, url: str) -> None:
    assert shell.psql(context(url), ["-c", "SELECT 'a b'"]) == 7
    named, *rest = (tmp_path / "shown").read_text().splitlines()
    assert rest == ["-c", "SELECT 'a b'"]
    assert "s3cret" not in named
    assert "host=db.example" in named
    assert "port=5433" in named
    assert (tmp_path / "shown.password").read_text() == "s3cret"
    assert fake.exists()


def test_without_a_password_the_persons_own_is_left(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "mine")
    shell.psql(context("postgresql://me@db.example/app"), [])
    assert (tmp_path / "shown.password").read_text() == "mine"
    assert stat.S_ISREG(fake.stat().st_mode)


def test_a_psql_that_is_killed_ends_as_in_a_shell(fake: Path) -> None:
    fake.write_text("#!/bin/sh\nkill -TERM $$\n")
    assert shell.psql(context("postgresql://me@db.example/app"), []) == 128 + signal.SIGTERM


def says(program: Path, version: int) -> None:
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "{program.name} (PostgreSQL) {version}.1"; exit; fi\n{SHOW}'
    )
    program.chmod(0o755)


def test_a_copy_is_made_by_the_program_in_path_where_it_is_of_the_servers_version(
    fake: Path, database_url: str, tmp_path: Path
) -> None:
    says(fake.with_name("pg_dump"), server.version()[0])
    assert shell.archive("pg_dump", context(database_url), ["-f", str(tmp_path / "copy")]) == 7
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("older", [True, False], ids=["an older one", "one that cannot be run"])
def test_beside_a_program_that_is_of_no_use_another_makes_a_copy_and_restores_it(
    fake: Path, database_url: str, empty_database: str, tmp_path: Path, older: bool
) -> None:
    for program in ("pg_dump", "pg_restore"):
        says(fake.with_name(program), server.version()[0] - 1)
        if not older:
            fake.with_name(program).write_text("#!/none\n")
    people(3)
    copy = str(tmp_path / "copy")
    assert shell.archive("pg_dump", context(database_url), ["-Fc", "-f", copy]) == 0
    schema.create_database(empty_database)
    db.configure(empty_database)
    assert shell.archive("pg_restore", context(empty_database), ["--single-transaction", copy]) == 0
    assert sql("SELECT count(*) FROM users") == [(3,)]


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore"])
def test_no_copy_is_made_that_the_server_would_not_take(program: shell.Program) -> None:
    with pytest.raises(CeleryctlError, match="of version 9 here") as caught:
        shell.fitting(program, 9)
    assert caught.value.fix == "apt-get install postgresql-client-9"


def test_a_real_psql_reaches_the_database_and_its_exit_code_is_ours(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert shell.psql(context(database_url), ["-XAtc", "SELECT count(*) FROM users"]) == 0
    assert capfd.readouterr().out == "0\n"
    assert shell.psql(context(database_url), ["-XAtc", "SELECT nothing"]) == 1
    assert shell.psql(context(database_url), ["-XAt", "-v", "ON_ERROR_STOP=1", "-f", "/none"]) != 0
    assert "nothing" in capfd.readouterr().err


def test_ctrl_c_breaks_off_the_query_and_not_us(database_url: str) -> None:
    """The whole group gets it, as from a terminal."""
    environment = {**os.environ, "DATABASE_URL": database_url, "CARD_ENCRYPTION_KEYS": KEY}
    asked = "SELECT pg_sleep(600) AS longest"
    process = subprocess.Popen(
        [sys.executable, "-m", "celeryctl", "psql", "-X", "-c", asked], env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually(lambda: _asks(database_url, "longest"))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, "Cancel request sent\nERROR:  canceling statement due to user request\n")


def test_what_ends_us_ends_the_program_and_no_embedded_server_is_left(home: Path) -> None:
    url = Postgres(home).ensure()
    environment = {**os.environ, "CELERYCTL_HOME": str(home), "DATABASE_URL": ""}
    schema.create_database(url)
    db.configure(url)
    schema.migrate([])
    db.close()
    words = [sys.executable, "-m", "celeryctl", "psql", "-X", "-c", "SELECT pg_sleep(600) AS longest"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, env=environment, **streams) as process:  # type: ignore[call-overload]
        eventually(lambda: _asks(url, "longest"))
        process.terminate()
        assert process.wait(30) == 130
    assert not Postmaster(home).alive


def _asks(url: str, what: str) -> bool:
    connection = psycopg2.connect(make_dsn(url))
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()", [f"%{what}%"]
            )
            return cursor.fetchone() is not None
    finally:
        connection.close()
