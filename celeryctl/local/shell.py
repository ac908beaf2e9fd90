"""PostgreSQL's own programs on the database in use: psql, pg_dump, pg_restore."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from psycopg2.extensions import make_dsn, parse_dsn

from celeryctl.errors import CeleryctlError, LocalServerError
from celeryctl.local import wheels
from celeryctl.pipeline.context import Context
from celeryctl.storage import server


def psql(context: Context, arguments: Sequence[str]) -> int:
    """Run psql with these options until it ends. Returns its exit code; raises CeleryctlError where there is none."""
    return _run("psql", context, arguments, shutil.which("psql") or _of_wheel("psql"))


def archive(program: Literal["pg_dump", "pg_restore"], context: Context, arguments: Sequence[str]) -> int:
    """The same with one that copies the whole database.

    The server's version of it is taken where there is one: an older server does not know what a newer pg_restore sets,
    and a newer server refuses an older pg_dump.
    """
    executable = shutil.which(program)
    if not executable or _major(executable) != server.version()[0]:
        try:
            executable = _of_wheel(program)
        except CeleryctlError:
            if not executable:
                raise
    return _run(program, context, arguments, executable)


def _major(executable: str) -> int:
    """Of `pg_dump (PostgreSQL) 18.4 (…)`; 0 of what says nothing of the kind."""
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def _run(program: str, context: Context, arguments: Sequence[str], executable: str) -> int:
    parameters = parse_dsn(str(context.settings.database_url))
    # A command line can be read by every user of the machine, the environment by ours alone. psql asks for the rest.
    password = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    parameters.pop("sslpassword", None)
    command = [executable, f"--dbname={make_dsn(**parameters)}", *arguments]
    umask = 0o077 if program == "pg_dump" else -1  # what it writes holds every row
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the program's own: psql breaks off a query
    try:
        code = subprocess.run(command, env={**os.environ, **password}, umask=umask, check=False).returncode  # noqa: S603 - no shell
        return code if code >= 0 else 128 - code  # killed by a signal: as a shell says it
    finally:
        signal.signal(signal.SIGINT, before)


def _of_wheel(program: str) -> str:
    try:
        return str(Path(wheels.postgres(), program))
    except LocalServerError as exc:
        fix = "pip install 'celeryctl[local]', or: apt-get install postgresql-client"
        raise CeleryctlError(
            f"there is no {program} here", why="neither in PATH nor in the extra `local`", fix=fix
        ) from exc
