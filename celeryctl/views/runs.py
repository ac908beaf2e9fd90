"""Runs, as a table and as JSON."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from celeryctl.ages import ago
from celeryctl.logs import one_line
from celeryctl.pipeline.orders import Intent
from celeryctl.settings import masked
from celeryctl.storage.ledger import Batch, Run
from celeryctl.views.grid import Column, Grid
from celeryctl.views.users import plain

COUNTS = ("created", "updated", "unchanged", "rejected")
NAME = 8  # characters of a data set's name at least
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


def in_full(run: Run) -> dict[str, Any]:
    """The public form with all that is known of a run."""
    more = {name: getattr(run, name) for name in ("started_at", "finished_at", "expected", "refresh", "slot")}
    parent = str(run.parent_id) if run.parent_id else None
    return {**as_json(run), **more, "limit": run.record_limit, "parent": parent, "followers": list(run.followers)}


def _columns(runs: Sequence[Run]) -> list[Column]:
    """Data set, outcome, the four counts, the time that it took. Where there is no room what has changed least goes."""
    documents = [as_json(run) for run in runs]
    counts = zip(("new", "changed", "same", "rejected"), COUNTS, (2, 5, 7, 4), strict=True)
    return [
        Column("data set", [plain(run.dataset) for run in runs], least=NAME),
        Column("outcome", [Text(run.status, STYLES[run.status]) for run in runs]),
        *(Column(name, [Text(f"{one[key]:,}") for one in documents], rank, right=True) for name, key, rank in counts),
        Column("time", [Text(_took(one["seconds"])) for one in documents], rank=6, right=True),
    ]


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _ids(runs: Sequence[Run], rank: int = 0) -> Column:
    return Column("run", [Text(str(run.id)[:8]) for run in runs], rank)


def summary(runs: Sequence[Run]) -> Group:
    """What came of every run, its error below it."""
    failures = (run for run in runs if run.error and run.status != "failed")
    return Group(
        Grid([*_columns(runs), _ids(runs, rank=3)]), *(plain(f"{run.dataset}: {run.error}", "red") for run in failures)
    )


def cancelled(run: Run) -> Group:
    """What had been done by then, and how it would go on."""
    name = run.dataset.replace("_", "-")
    return Group(summary([run]), Text(f"\nNext: celeryctl fetch {name}    (goes on with what is missing)", "dim"))


def listing(runs: Sequence[Run], now: datetime) -> RenderableType:
    """One line for every run; who ordered it, and when it began."""
    if not runs:
        return Group(Text("No run is known."), Text("Next: celeryctl fetch all", "dim"))
    more = [
        Column("started", [Text(ago(run.started_at, now)) for run in runs], rank=1),
        Column("by", [plain(run.trigger) for run in runs], rank=3),
    ]
    last = next((run for run in runs if run.error), runs[0])
    following = Text(f"\nNext: celeryctl runs {str(last.id)[:8]}", "dim")
    return Group(Grid([_ids(runs), *_columns(runs), *more]), following)


def detail(run: Run, children: Sequence[Run], batches: Sequence[tuple[Batch, float]], now: datetime) -> Group:
    """Everything that is known of a run."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(run, now):
        grid.add_row(Text(name, "bold"), value if isinstance(value, Text) else plain(value))
    for child in children:
        grid.add_row(Text("opened", "bold"), plain(f"{child.dataset} {str(child.id)[:8]}, {child.status}"))
    for batch, left in batches:
        grid.add_row(Text("batch", "bold"), plain(_batch(batch, left)))
    short = str(run.id)[:8]
    following = {"running": f"tail {short}", "failed": f"why {short}", "partial": f"why {short}"}.get(
        run.status, "stats"
    )
    return Group(grid, Text(f"\nNext: celeryctl {following}", "dim"))


def _facts(run: Run, now: datetime) -> Iterator[tuple[str, Any]]:
    yield "run", str(run.id)
    yield "data set", run.dataset
    yield "outcome", Text(run.status, STYLES[run.status])
    if run.error:
        yield "error", Text(one_line(run.error), "red")
    yield "ordered by", _orderer(run)
    yield "started", f"{run.started_at.astimezone():%Y-%m-%d %H:%M:%S}, {ago(run.started_at, now)}"
    if run.finished_at:
        yield "took", f"{(run.finished_at - run.started_at).total_seconds():.1f} s"
    counts = (run.created, run.updated, run.unchanged, run.rejected, run.absent)
    words = ("new", "changed", "same", "rejected", "not there")
    of = f"  of {run.expected:,}" if run.expected is not None else ""
    yield "records", ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=True)) + of
    yield "requests", f"{run.requests:,}, {run.retries:,} tries beyond the first"
    if run.status == "running" and run.followers:
        yield "then", ", ".join(run.followers)


def _orderer(run: Run) -> str:
    options = [f"--limit {run.record_limit}"] * bool(run.record_limit) + ["--refresh"] * bool(run.refresh)
    slot = f" for {run.slot.astimezone():%H:%M:%S}" if run.slot else ""
    parent = f", after run {str(run.parent_id)[:8]}" if run.parent_id else ""
    return " ".join([f"{run.trigger}{slot}{parent}", *options])


def _batch(batch: Batch, left: float) -> str:
    tried = f", attempt {batch.attempts}" if batch.attempts > 1 else ""
    if batch.token is None:
        return f"{batch.lo} to {batch.hi}: waits{tried}"
    state = "holds it" if left > 0 else "held it and has fallen silent"
    return f"{batch.lo} to {batch.hi}: {batch.holder or 'somebody'} {state}{tried}"


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
        table.add_row(*map(plain, (intent.dataset, records, requests, masked(intent.url))))
    return table
