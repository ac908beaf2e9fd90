"""What is due when; pause it, resume it, run it now."""

from typing import Annotated

import typer

from celeryctl.cli import completion, options

app = typer.Typer(
    help="Show what is due when; pause, resume, run a data set.", invoke_without_command=True, cls=options.Group
)
Name = Annotated[
    str, typer.Argument(help="users, addresses, credit-cards, …, or all.", autocompletion=completion.datasets)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback()
def show(context: typer.Context, json: Json = False) -> None:
    """Show what is due when; pause, resume, run a data set. A pause outlives every beat."""
    if context.invoked_subcommand is None:
        _show(json=json)


def _show(*, json: bool) -> None:
    from celeryctl import services
    from celeryctl.local import access
    from celeryctl.views import schedule as views

    with access.to_read(options.context()), services.reading():
        found = services.read()
        document = services.schedule_of(found)
    if json:
        options.print_json({"at": found.at, "schedule": document})
    else:
        options.console().print(views.render(document, found.at))


@app.command(cls=options.Command)
def pause(name: Name, json: Json = False) -> None:
    """Let beat pass over a data set until it is resumed. A fetch that somebody asks for still goes."""
    _set(name, paused=True, json=json)


@app.command(cls=options.Command)
def resume(name: Name, json: Json = False) -> None:
    """Let beat fetch a data set again; what was missed meanwhile is due at once."""
    _set(name, paused=False, json=json)


def _set(name: str, *, paused: bool, json: bool) -> None:
    from celeryctl.local import access
    from celeryctl.pipeline import orders
    from celeryctl.storage import pause as pauses

    context = options.context()
    order = orders.order(context.datasets, name, trigger="")
    with access.to_read(context):
        (pauses.pause if paused else pauses.resume)((order.dataset, *order.followers))
    _show(json=json)


@app.command(cls=options.Command)
def run(name: Name, json: Json = False) -> None:
    """Fetch a data set through the cluster now, without waiting for it, also while it is paused."""
    from celeryctl.cli import fetching

    fetching.run("detach", fetching.Request(name, json=json), options.context())
