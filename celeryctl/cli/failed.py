"""See what failed, and try it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from celeryctl.cli import completion, options
from celeryctl.errors import UsageError

if TYPE_CHECKING:
    from celeryctl.pipeline.context import Context


def command(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="A data set to list; with --retry the ids to try again, such as addresses/3.",
            metavar="DATASET|ID",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try these again.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="With --retry: all of them, or all of a data set.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the records that were rejected or that their workers did not survive, and messages that were none.

    With --retry they are stored from what was kept of them where that suffices; else their source is asked again.
    """
    if all_ and not retry:
        raise UsageError("--all goes with --retry", why="alone it has no meaning", fix="celeryctl failed --retry --all")
    names, context = what or [], options.context()
    if retry:
        from celeryctl.cli import retrying

        retrying.retry(context, names, everything=all_, json=json)
    else:
        _show(context, names, limit, json=json)


def _show(context: "Context", names: list[str], limit: int, *, json: bool) -> None:
    from celeryctl.local import access
    from celeryctl.pipeline import orders
    from celeryctl.storage import coverage, failures, letters
    from celeryctl.storage.database import session
    from celeryctl.views import failed as views

    if len(names) > 1:
        raise UsageError("failed takes one data set", why=f"there are {len(names)}", fix="celeryctl help failed")
    dataset = orders.named(context.datasets, names[0]) if names and names[0] != orders.ALL else None
    with access.to_read(context), session():
        now = coverage.clock()
        found, count = failures.newest(limit, dataset=dataset)
        dead = [] if dataset else letters.newest(limit)
    if json:
        options.print_json(views.as_json(found, count, dead))
    else:
        options.console().print(views.listing(found, count, dead, now))
