"""Lines of what happens."""

from typing import Any

from rich.text import Text

from celeryctl.logs import one_line
from celeryctl.storage.feed import ENDED, OPENED, PROGRESS, Moment, done
from celeryctl.storage.ledger import Run
from celeryctl.views.runs import STYLES

COLOURS = {"broker-away": "red", "database-away": "red", "broker-back": "green", "database-back": "green",
           "worker-online": "green", "worker-offline": "yellow", "worker-silent": "red", "task-failed": "red",
           "task-retried": "yellow"}  # fmt: skip


def as_json(moment: Moment) -> dict[str, Any]:
    """The public form of what happened."""
    told: dict[str, Any] = {"at": moment.at, "kind": moment.kind}
    if moment.run is not None:
        run = moment.run
        told |= {"run": str(run.id), "dataset": run.dataset, "trigger": run.trigger, "status": run.status}
        told |= {"done": done(run), "expected": run.expected, "error": run.error}
    return told | dict(moment.detail)


def line(moment: Moment) -> Text:
    """One line: when, which data set, what."""
    run = moment.run
    dataset = run.dataset if run is not None else moment.detail.get("dataset") or ""
    what = _of_run(moment.kind, run) if run is not None else _of_cluster(moment)
    return Text.assemble((f"{moment.at.astimezone():%H:%M:%S}  ", "dim"), f"{one_line(str(dataset)):<12}  ", what)


def _of_run(kind: str, run: Run) -> Text:
    short = str(run.id)[:8]
    if kind == OPENED:
        return Text(f"run {short} opened, by {one_line(run.trigger)}")
    if kind == PROGRESS:
        share = f", {100 * done(run) // run.expected} %" if run.expected else ""
        of = f" of {run.expected:,}" if run.expected else ""
        return Text(f"run {short} has {done(run):,}{of} records{share}", "cyan")
    if kind == ENDED:
        return _ended(run, short)
    return Text(f"run {short} was deleted", "yellow")


def _ended(run: Run, short: str) -> Text:
    counts = f"{run.created:,} new, {run.updated:,} changed, {run.unchanged:,} same, {run.rejected:,} rejected"
    seconds = _seconds(run)
    error = f"; {one_line(run.error)}" if run.error else ""
    return Text.assemble(f"run {short} ", (run.status, STYLES[run.status]), f": {counts}{seconds}{error}")


def _seconds(run: Run) -> str:
    return f", {(run.finished_at - run.started_at).total_seconds():.1f} s" if run.finished_at else ""


def _of_cluster(moment: Moment) -> Text:
    """What happened to a batch, a task, a worker or a server."""
    told = {name: one_line(str(value)) for name, value in moment.detail.items() if value is not None}
    batch = f"batch {told.get('lo', '?')} to {told.get('hi', '?')} of run {told.get('run', '')[:8]}"
    worker, error = told.get("worker", "a worker"), told.get("error", "")
    task = f"{told.get('task') or 'task'} {told.get('task_id', '')[:8]}"
    texts = {
        "batch-begun": f"{batch} taken by {told.get('holder', 'somebody')}",
        "batch-done": f"{batch} done",
        "batch-released": f"{batch} is free again",
        "task-received": f"{task} received by {worker}",
        "task-failed": f"{task} failed on {worker}: {error}",
        "task-retried": f"{task} is tried again on {worker}: {error}",
        "worker-online": f"{worker} is here",
        "worker-offline": f"{worker} has ended",
        "worker-silent": f"{worker} has fallen silent",
        "broker-away": f"the broker does not answer: {error}; runs are followed all the same",
        "broker-back": "the broker answers again",
        "database-away": error,
        "database-back": "the database answers again",
    }
    return Text(texts.get(moment.kind, moment.kind), COLOURS.get(moment.kind, ""))
