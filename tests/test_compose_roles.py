"""The database's logins in Compose: what `db-roles` makes, with which passwords, and what each may do."""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from cli.rolekit import Roles, ask, roles
from cluster.kit import run, settings
from conftest import named
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS, parse_dsn

from celeryctl.local import wheels
from celeryctl.local.postgres import Postgres
from celeryctl.storage import database as db
from celeryctl.storage import schema

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
LOGINS = {"migrate": "POSTGRES_OWNER_PASSWORD", "work": "POSTGRES_WRITER_PASSWORD", "look": "POSTGRES_READER_PASSWORD"}
NO_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def empty(postgres_server: str) -> Iterator[Roles]:
    with roles(postgres_server, named(postgres_server, f"test_{uuid.uuid4().hex[:12]}")) as found:
        yield found


def db_roles(made: Roles, **passwords: str) -> None:
    """Run the service's command on this database, its roles named so that they are this test's."""
    program, *words = SERVICES["db-roles"]["command"]
    assert program == "psql"
    program = shutil.which("psql", path=str(wheels.postgres())) or "psql"
    moved = [word.replace("/etc/celeryctl", str(ROOT / "deploy")) for word in words]
    parts = parse_dsn(made.administrator)
    given = {"PGHOST": parts["host"], "PGPORT": parts["port"], "PGUSER": parts["user"], "PGDATABASE": parts["dbname"]}
    given |= {"PGPASSWORD": parts.get("password", ""), "PATH": os.environ["PATH"]}
    given |= {LOGINS[login]: password for login, password in passwords.items()}
    command = [program, "-v", f"prefix={made.prefix}", *moved]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def url(made: Roles, login: str, password: str) -> str:
    parts = parse_dsn(made.administrator)
    return f"postgresql://{made.prefix}_{login}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def test_each_login_does_what_its_program_does_and_no_more(empty: Roles, tmp_path: Path) -> None:
    # As it was before there were roles: everything is the superuser's.
    db.configure(empty.administrator)
    schema.migrate([])
    passwords = {login: f"{login}-secret" for login in LOGINS}
    for _ in range(2):
        db_roles(empty, **passwords)
    ask(empty.administrator, "DROP TABLE reveals; DELETE FROM celeryctl_migrations WHERE name = '0008_reveals'")
    for login, words in (("migrate", ("init-db",)), ("work", ("seed",)), ("look", ("users", "list"))):
        done = run(settings(url(empty, login, passwords[login]), NO_BROKER, tmp_path), tmp_path, *words)
        assert done.returncode == 0, done.stderr
    for login, statement in (("work", "CREATE TABLE public.mine ()"), ("look", "DELETE FROM users")):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(url(empty, login, passwords[login]), statement)
    assert ask(empty.administrator, "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'reveals'") == [
        (f"{empty.prefix}_owner",)
    ]


def test_a_password_that_was_changed_counts_the_next_time(empty: Roles) -> None:
    db_roles(empty, migrate="first", work="second", look="third")
    db_roles(empty, migrate="first", work="another", look="third")
    assert ask(url(empty, "work", "another"), "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(url(empty, "work", "second"), "SELECT 1")


def test_no_password_is_in_the_servers_log(server_home: Path) -> None:
    server = Postgres(server_home)
    server.ensure()
    with roles(server.url("postgres"), server.url("logged")) as made:
        for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_min_error_statement = 'error'"):
            ask(made.administrator, f"ALTER DATABASE logged SET {setting}")
        db_roles(made, migrate="migrate-secret", work="work-secret", look="look-secret")
        log = server.log.read_text()
    assert "GRANT CONNECT" in log, "it says what is done"
    assert "-secret" not in log


def test_it_waits_for_nobody_who_works(empty: Roles) -> None:
    db_roles(empty, migrate="first", work="second", look="third")
    db.configure(url(empty, "migrate", "first"))
    schema.migrate([])
    with closing(psycopg2.connect(url(empty, "work", "second"))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM users")
        cursor.execute("LOCK TABLE runs IN ROW EXCLUSIVE MODE")
        db_roles(empty, migrate="first", work="changed", look="third")
        assert connection.info.transaction_status == TRANSACTION_STATUS_INTRANS, "and was not thrown out"
    assert ask(url(empty, "work", "changed"), "SELECT 1") == [(1,)], "it came to its end meanwhile"


def test_the_urls_name_the_logins() -> None:
    programs = {"db-init": "migrate", "celery-worker": "work", "celery-beat": "work"}
    for service, login in programs.items():
        found = re.match(r"postgresql://celeryctl_(\w+):\$\{(\w+):", SERVICES[service]["environment"]["DATABASE_URL"])
        assert found is not None
        assert found.groups() == (login, LOGINS[login])
