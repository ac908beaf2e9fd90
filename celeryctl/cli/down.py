"""Stop what `up` started."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    data: Annotated[bool, typer.Option("--data", help="Delete the embedded database with all its data, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
) -> None:
    """Stop what `up` started here, from any terminal. The data are kept, unless --data; the card key always is."""
    from celeryctl.local.down import down, remove_data
    from celeryctl.settings import Environment

    # Of the settings nothing but the home: a wrong one must not keep the cluster from being stopped.
    home = Environment.read().home
    if data and not yes:
        typer.confirm(f"Delete the database of {home} with all its data?", abort=True, err=True)
    ended = down(home)
    told = f"Stopped: {', '.join(ended)}" if ended else f"Nothing was running in {home}"
    options.notices().print(told, soft_wrap=True)
    if data:
        gone = remove_data(home)
        options.notices().print("The data are deleted" if gone else "There were no data")
