"""Look at runs, past and present."""

from typing import Annotated, Literal

import typer

from celeryctl.cli import completion, options
from celeryctl.errors import UsageError


def command(
    run: Annotated[
        str | None,
        typer.Argument(help="The beginning of a run's id: all of that one.", autocompletion=completion.runs),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Of this data set only.", autocompletion=completion.datasets)
    ] = None,
    status: Annotated[
        Literal["running", "succeeded", "partial", "failed", "cancelled"] | None,
        typer.Option("--status", help="With this outcome only."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List runs, newest first; with an id, show everything that is known of that one."""
    from celeryctl.local import access
    from celeryctl.pipeline import lookup, orders
    from celeryctl.storage import coverage, history
    from celeryctl.storage.database import session
    from celeryctl.views import runs as views

    if run and (dataset or status):
        raise UsageError("an id does not go with --dataset or --status", why="it names one run", fix="celeryctl runs")
    context = options.context()
    name = orders.named(context.datasets, dataset) if dataset else None
    with access.to_read(context), session():
        now = coverage.clock()
        found = [lookup.find_run(run)] if run else history.newest(limit, dataset=name, status=status)
        details = (found[0], history.children(found[0]), history.batches(found[0]), now) if run else None
    if json:
        options.print_json({"runs": [views.in_full(one) for one in found]})
    else:
        options.console().print(views.detail(*details) if details else views.listing(found, now))
