"""Runs, as a table and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from celeryctl.pipeline.orders import Intent
from celeryctl.settings import masked
from celeryctl.storage.ledger import Run
from celeryctl.views.users import plain

STYLES = {"succeeded": "green", "partial": "yellow", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def as_json(run: Run) -> dict[str, Any]:
    """The public form of a run. ``seconds`` is absent while it runs; ``requests`` is what the source counted."""
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    counters = {
        name: getattr(run, name)
        for name in ("created", "updated", "unchanged", "rejected", "absent", "requests", "retries")
    }
    return {
        "id": str(run.id),
        "dataset": run.dataset,
        "trigger": run.trigger,
        "status": run.status,
        **counters,
        "seconds": seconds,
        "error": run.error,
    }


def summary(runs: Sequence[Run]) -> Group:
    """What came of every run, its error below it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (
        ("data set", 0),
        ("outcome", 0),
        ("new", 1),
        ("changed", 1),
        ("same", 1),
        ("rejected", 1),
        ("time", 1),
        ("run", 0),
    ):
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for run in runs:
        document = as_json(run)
        counts = (f"{document[name]:,}" for name in ("created", "updated", "unchanged", "rejected"))
        seconds = "" if document["seconds"] is None else f"{document['seconds']:.1f} s"
        table.add_row(run.dataset, Text(run.status, STYLES[run.status]), *counts, seconds, str(run.id)[:8])
    return Group(
        table, *(plain(f"{run.dataset}: {run.error}", "red") for run in runs if run.error and run.status != "failed")
    )


def intent_as_json(intent: Intent) -> dict[str, Any]:
    """What a fetch would ask for."""
    return {
        "dataset": intent.dataset,
        "url": masked(intent.url),
        "records": intent.records,
        "requests": intent.requests,
    }


def intents(found: Sequence[Intent]) -> Table:
    """What a fetch would ask for, source by source."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (("data set", 0), ("records", 1), ("requests", 1), ("source", 0)):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for intent in found:
        records, requests = ("all" if number is None else f"{number:,}" for number in (intent.records, intent.requests))
        table.add_row(intent.dataset, records, requests, masked(intent.url))
    return table
