"""The data sets, as a table and as JSON."""

from typing import Any

from rich.table import Table

from celeryctl.pipeline.context import Context
from celeryctl.views.users import plain


def as_json(context: Context) -> list[dict[str, Any]]:
    """Every data set with its table, its source and its interval in seconds."""
    return [
        {
            "name": dataset.name,
            "help": dataset.help,
            "table": dataset.model._meta.table_name,
            "per": dataset.per,
            "source": dataset.source.kind,
            "url": context.settings.sources[dataset.name].url,
            "every_seconds": context.settings.sources[dataset.name].every.total_seconds(),
            "origin": dataset.origin,
        }
        for dataset in context.datasets.values()
    ]


def table(context: Context) -> Table:
    """One line for every data set."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("data set", "every", "source", "from", "what it is"):
        found.add_column(name, overflow="fold")
    for one in as_json(context):
        cells = (one["name"], f"{one['every_seconds']:g} s", one["source"], one["origin"], one["help"])
        found.add_row(*map(plain, cells))
    return found
