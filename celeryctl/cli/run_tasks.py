"""Fetch everything through the cluster, then show the stats."""

import typer

from celeryctl.cli import options


def command() -> None:
    """Fetch all data sets through the cluster, then show the stats: `fetch all`, then `stats`."""
    from celeryctl.cli import fetching, stats
    from celeryctl.pipeline import orders

    ended = fetching.run("wait", fetching.Request("all"), options.context())
    stats.command()
    raise typer.Exit(orders.verdict(ended))
