"""A psql shell on whatever database is in use."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> int:
    """Open psql on the database in use: `celeryctl psql`, `celeryctl psql -c 'TABLE runs'`. Its exit code is ours."""
    from celeryctl.local import access, shell

    with access.to_read(options.context(), behind=True) as here:
        return shell.psql(here, arguments)
