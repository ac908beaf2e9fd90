"""What pg_dump and pg_restore are called with, looked at before they run."""

import os
import re
import stat
import subprocess
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from psycopg2.extensions import parse_dsn

from celeryctl.errors import CeleryctlError, UsageError
from celeryctl.local import shell
from celeryctl.local.access import LOCAL
from celeryctl.local.postgres import DATABASE
from celeryctl.pipeline.context import Context

SWITCHES = "abBcCOsvwWx1"
VALUED = (
    "-E --encoding", "-d --dbname", "-F --format", "-h --host", "-I --index", "-j --jobs", "-L --use-list",
    "-n --schema", "-N --exclude-schema", "-p --port", "-P --function", "-S --superuser", "-t --table", "-T --trigger",
    "-U --username", "-Z --compress", "--filter", "--restrict-key", "--role", "--section", "--transaction-size",
)  # fmt: skip


def needs_database(program: shell.Program, arguments: Sequence[str]) -> bool:
    """Whether it is asked for more than help, a version, or what is in a file."""
    asked = _parsed(program, arguments)
    return not (asked.help or asked.version or asked.list)


def is_made_up(context: Context) -> bool:
    """Whether the database in use is that of the local sources."""
    return _name(context) == LOCAL


def _name(context: Context) -> str:
    return str(parse_dsn(context.settings.database_url or "").get("dbname", DATABASE))


def keep_private(arguments: Sequence[str]) -> None:
    """Take from others what they may do with the file that pg_dump writes into, where it is there already.

    Raises CeleryctlError for a file of somebody else, who could always read it.
    """
    path = _parsed("pg_dump", arguments).file
    if path is None or not Path(path).is_file():
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return  # pg_dump cannot write there either, and says it
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return
        if found.st_uid != os.geteuid():
            why = "whoever owns it can read it, and a copy holds every row"
            raise CeleryctlError(f"{path} belongs to another user", why=why, fix="name another file after -f")
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def require(context: Context, arguments: Sequence[str]) -> None:
    """Raise UsageError for a file that pg_restore cannot read, or with made-up data for a database of live ones.

    What comes over stdin or a pipe is not looked at: it can be read once.
    """
    path = _parsed("pg_restore", arguments).archive
    if path is None or Path(path).is_fifo():
        return
    command = [shell.newest("pg_restore"), "--list", "--", path]
    listed = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    if listed.returncode:
        why = (listed.stderr.strip().splitlines() or ["pg_restore does not say why"])[0]
        raise UsageError(
            f"{path} cannot be restored", why=why, fix="name a file that `celeryctl pg_dump -Fc` has written"
        )
    if not is_made_up(context) and re.search(rf"^; +dbname: {LOCAL}$", listed.stdout, re.MULTILINE):
        why = f"it was copied from {LOCAL}, and would get into {_name(context)}"
        fix = "celeryctl up    (local sources give such records anew)"
        raise UsageError(f"{path} holds made-up records", why=why, fix=fix)


def _parsed(program: shell.Program, arguments: Sequence[str]) -> Namespace:
    """What we know of its options; the others are switches. Long ones may be shortened, as both programs have it."""
    parser = ArgumentParser(add_help=False, exit_on_error=False)
    for letter in SWITCHES:
        parser.add_argument(f"-{letter}", action="store_true")
    for names in VALUED:
        parser.add_argument(*names.split())
    if program == "pg_dump":
        parser.add_argument("-e", "--extension")
    else:
        parser.add_argument("-e", "--exit-on-error", action="store_true")
        parser.add_argument("-l", "--list", action="store_true")
    for names in ("-? --help", "-V --version"):
        parser.add_argument(*names.split(), action="store_true")
    parser.set_defaults(list=False)
    parser.add_argument("-f", "--file")
    parser.add_argument("archive", nargs="?")
    try:
        return parser.parse_known_args(arguments)[0]
    except ArgumentError:  # the program says it better
        return parser.parse_args([])
