"""Copy the whole database that is in use into a file."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> int:
    """Become pg_dump on the database in use: `celeryctl pg_dump -Fc -f celeryctl.dump`. Its exit code is ours.

    Card numbers are encrypted in it: it is worth nothing without their keys, which are to be kept elsewhere.
    """
    from celeryctl.local import access, archives, shell

    if not archives.needs_database("pg_dump", arguments):
        return shell.alone("pg_dump", arguments)
    archives.keep_private(arguments)
    with access.to_read(options.context(), behind=True) as here:
        if archives.is_made_up(here):
            options.notices().print(f"This copies {access.LOCAL}: records that local sources have made up.")
        return shell.archive("pg_dump", here, arguments)
