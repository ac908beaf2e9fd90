"""Follow runs and tasks."""

from typing import TYPE_CHECKING, Annotated

import typer

from celeryctl.cli import completion, options

if TYPE_CHECKING:
    from celeryctl.storage.feed import Moment

LINES = 20  # of the past, unless something else is asked for


def command(
    run: Annotated[
        str | None, typer.Argument(help="Only this run, until it is over.", autocompletion=completion.runs)
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=0, max=10_000, help="How many lines of the past; 20 when absent.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Everything of the past since then, like 10m.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Follow what happens to runs, batches, tasks and workers, through restarts of all servers, until Ctrl-C.

    With a run's id it ends with that run, and with its exit code: 0 done, 3 done in part, 1 or 69 failed.
    """
    from celeryctl.cluster.tail import Tail
    from celeryctl.local import access
    from celeryctl.pipeline import lookup, orders
    from celeryctl.services import reading
    from celeryctl.settings import parse_duration
    from celeryctl.storage.feed import current

    age = parse_duration(since) if since else None
    with access.Watch(options.context()) as watch:
        with reading():
            found = lookup.find_run(run) if run else None
            tail = Tail(found, renew=watch.renew)
        for moment in tail.past(LINES if lines is None and age is None else lines, age):
            _show(moment, json=json)
        for moment in tail.follow():
            _show(moment, json=json)
        if found:
            raise typer.Exit(orders.exit_code([current(found.id)]))


def _show(moment: "Moment", *, json: bool) -> None:
    from celeryctl.views import tail as views

    if json:
        options.print_json(views.as_json(moment), line=True)
    else:
        options.console().print(views.line(moment), soft_wrap=True)
