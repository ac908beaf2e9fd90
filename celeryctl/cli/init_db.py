"""Create the database and its tables, or bring them up to date."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when something is to be done.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take over the tables of the application that this one replaces.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Create the database if it is missing, create or migrate the tables. Several at once are safe."""
    from celeryctl.local import access

    context = options.context()
    found, newer = access.check(context) if check else (access.initialize(context, adopt=yes), [])
    if json:
        options.print_json({"pending": found, "newer": newer} if check else {"done": found})
        raise typer.Exit(1 if check and found else 0)
    for name in found:
        options.console().print(f"{'to be done' if check else 'done'}: {name}", soft_wrap=True)
    if newer:
        told = f"A newer version has changed the tables ({', '.join(newer)}); this one works with them."
        options.notices().print(told, soft_wrap=True)
    elif not found:
        options.notices().print("The tables are up to date.")
    raise typer.Exit(1 if check and found else 0)
