"""Fetch data sets: here, through the cluster, or in the background."""

from typing import Annotated

import typer

from celeryctl.cli import completion, options


def command(
    dataset: Annotated[
        str,
        typer.Argument(
            help="users, addresses, credit-cards, a data set of your own, or all.", autocompletion=completion.datasets
        ),
    ],
    sync: Annotated[bool, typer.Option("--sync", help="Fetch here: no broker and no worker needed.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Queue it and follow its progress (default).")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Queue it and print the run's id.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch again what is there already.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, max=options.MOST, help="Fetch at most this many records.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched; ask no source.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait at most this long, like 90s or 5m; exit 4 after.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch a data set, or all of them: parents first, then what hangs on them.

    Exit code: 0 done, 3 done in part, 1 failed, 4 not over in time, 69 a source, the broker or every worker is away.
    """
    from celeryctl.cli import fetching
    from celeryctl.pipeline import orders

    modes = [name for name, chosen in (("sync", sync), ("wait", wait), ("detach", detach)) if chosen]
    fetching.check(modes, timeout=timeout, dry_run=dry_run)
    request = fetching.Request(dataset, refresh=refresh, limit=limit, timeout=timeout, json=json)
    if dry_run:
        fetching.show_intents(request, options.context())
    else:
        ended = fetching.run(modes[0] if modes else "wait", request, options.context())
        raise typer.Exit(orders.verdict(ended))
