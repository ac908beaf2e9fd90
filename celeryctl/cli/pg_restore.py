"""Bring back a whole database from a file that pg_dump has written."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> int:
    """Become pg_restore on the database in use, which is made where it is missing. Its exit code is ours.

    `celeryctl pg_restore --no-owner --no-acl --single-transaction celeryctl.dump`, which changes nothing where there
    are tables already.
    """
    from celeryctl.local import access, archives, shell

    if not archives.needs_database("pg_restore", arguments):
        return shell.alone("pg_restore", arguments)
    context = options.context()
    archives.require(context, arguments)
    with access.to_restore(context) as here:
        return shell.archive("pg_restore", here, arguments)
