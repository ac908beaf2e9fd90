"""A database with the roles of deploy/roles.sql, and logins that are members of them."""

import os
import secrets
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn

from celeryctl.local import wheels
from celeryctl.storage import database as db
from celeryctl.storage import schema

SCRIPT = Path(__file__).parents[2] / "deploy" / "roles.sql"
MEMBERS = {"migrate": "owner", "work": "writer", "look": "reader"}


@dataclass(frozen=True)
class Roles:
    """The database's URL for its administrator; `url` is that of a login."""

    administrator: str
    prefix: str
    password: str

    def url(self, login: str) -> str:
        parts = parse_dsn(self.administrator)
        name = f"{self.prefix}_{login}"
        return f"postgresql://{name}:{self.password}@{parts['host']}:{parts['port']}/{parts['dbname']}"

    def apply(self, url: str | None = None) -> None:
        """Run the script, as the administrator of this URL; nothing is wrong."""
        done = self.try_to_apply(url or self.administrator)
        assert (done.returncode, done.stderr) == (0, "")

    def try_to_apply(self, url: str) -> subprocess.CompletedProcess[str]:
        parts = parse_dsn(url)
        environment = {**os.environ, "PGPASSWORD": parts.pop("password", "")}
        psql = shutil.which("psql") or str(wheels.postgres() / "psql")
        command = [psql, "-X", "-q", "-v", f"prefix={self.prefix}", "-f", str(SCRIPT), make_dsn(**parts)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def login(self, name: str, *, more: str = "") -> None:
        """A login, a member of the role that its name stands for; ``more`` are its attributes."""
        role = MEMBERS.get(name)
        member = f' IN ROLE "{self.prefix}_{role}"' if role else ""
        ask(self.administrator, f'CREATE ROLE "{self.prefix}_{name}" LOGIN {more} PASSWORD %s{member}', self.password)
        if role == "owner":
            ask(self.administrator, f'ALTER ROLE "{self.prefix}_{name}" SET role = "{self.prefix}_owner"')


@contextmanager
def roles(server: str, url: str) -> Iterator[Roles]:
    """An empty database of this URL, and names for its roles; nothing is left of either."""
    schema.create_database(url)
    made = Roles(url, f"test{uuid.uuid4().hex[:8]}", secrets.token_hex(8))
    try:
        yield made
    finally:
        db.close()
        name = sql.Identifier(parse_dsn(url)["dbname"])
        ask(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        for (role,) in ask(server, "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", made.prefix):
            ask(server, sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def ask(url: str, statement: str | sql.Composable, *parameters: object) -> list[tuple[Any, ...]]:
    """Run a statement over a connection of its own."""
    with closing(psycopg2.connect(make_dsn(url))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []
