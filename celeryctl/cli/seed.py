"""Fill the database without any network."""

from typing import Annotated

import typer

from celeryctl.cli import options

MOST_USERS = 100_000_000


def command(
    count: Annotated[int, typer.Argument(min=1, max=MOST_USERS, help="How many users.", metavar="N")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Another number gives other people.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fill the database with N made-up users and their records. Safe to repeat.

    With seed 0 the first ten users are JSONPlaceholder's.
    """
    from celeryctl.cli import fetching
    from celeryctl.cli.interruption import Interruption
    from celeryctl.local import access
    from celeryctl.local.seed import sow
    from celeryctl.pipeline import orders
    from celeryctl.views.progress import Progress

    with (
        access.to_write(options.context()) as here,
        Progress(options.notices()) as progress,
        Interruption("the batch under way, a matter of a second") as interruption,
    ):
        ended = sow(here, count=count, seed=seed, progress=interruption.after(progress.show))
    raise typer.Exit(orders.verdict(fetching.report(ended, fetching.Request("all", json=json))))
