"""The keys that card numbers are encrypted with."""

from typing import Annotated

import typer

from celeryctl.cli import options

app = typer.Typer(help="Make, change and look at the keys for card numbers.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command(cls=options.Command)
def status(json: Json = False) -> None:
    """Show every key by its id, what it is used for, and how many values are encrypted with it."""
    from celeryctl.local import access
    from celeryctl.pipeline import keys
    from celeryctl.views import keys as views

    with access.to_read(options.context()) as here:
        states = keys.status(here)
    if json:
        options.print_json({"database": here.database, "keys": views.as_json(states)})
    else:
        options.console().print(views.table(states, here.database))


@app.command(cls=options.Command)
def new() -> None:
    """Make a new key: in this home, where its own are used, else to be set by you wherever a worker runs.

    In the home it encrypts from the next start on; the older ones still decrypt.
    """
    from celeryctl.local import cardkeys

    made = cardkeys.new(options.context())
    if made.key:
        options.console().print(str(made.key), soft_wrap=True)
    options.notices().print(made.told, soft_wrap=True)


@app.command(cls=options.Command)
def rotate(json: Json = False) -> None:
    """Encrypt with the first key whatever is encrypted with another one. It can be interrupted, and goes on then.

    Workers may go on meanwhile; each of them has to encrypt with that key already. Numbers in the clear are encrypted.
    """
    from celeryctl.local import access
    from celeryctl.pipeline import keys
    from celeryctl.views import keys as views

    with access.to_write(options.context()) as here, options.notices().status("") as shown:
        done = keys.rotate(here, views.Progress(shown.update).add)
    if json:
        options.print_json({"database": here.database, "rotated": done.sealed, "left": done.left})
    else:
        options.console().print(views.rotated(done, here.database), soft_wrap=True)
    raise typer.Exit(3 if done.left else 0)
