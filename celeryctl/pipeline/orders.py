"""What a person asks for, as orders to the ledger, and the runs that come of it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celeryctl.dataset import Datasets
from celeryctl.errors import CeleryctlError, SourceUnreachableError, UsageError
from celeryctl.pipeline.engine import Pipeline
from celeryctl.pipeline.works import work_of
from celeryctl.storage import plan, runs
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

if TYPE_CHECKING:
    from celeryctl.settings import Settings

ALL = "all"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a fetch would ask for: ``records`` and ``requests`` are None where only the source knows."""

    dataset: str
    url: str
    records: int | None
    requests: int | None


def order(
    datasets: Datasets, target: str, *, trigger: str, refresh: bool = False, limit: int | None = None
) -> runs.Order:
    """The order for a data set as the command line names it, or for all: parents first, then what hangs on them.

    Raises UsageError, naming those that there are.
    """
    name, *followers = datasets if target == ALL else (named(datasets, target, or_all=True),)
    return runs.Order(dataset=name, trigger=trigger, refresh=refresh, limit=limit, followers=tuple(followers))


def named(datasets: Datasets, target: str, *, or_all: bool = False) -> str:
    """The name of a data set as the command line spells it. Raises UsageError, naming those that there are."""
    name = target.replace("-", "_")
    if name not in datasets:
        known = ", ".join([dataset.command for dataset in datasets.values()] + [ALL] * or_all)
        raise UsageError(f"there is no data set {target!r}", why=f"there are: {known}", fix="celeryctl dataset list")
    return name


def begin(pipeline: Pipeline, wanted: runs.Order) -> runs.Opened:
    """Open the run, or join the one that is under way."""
    opened = pipeline.open(wanted)
    if opened is None:
        raise CeleryctlError(f"{wanted.dataset} had its run for {wanted.slot}", fix="celeryctl stats")
    return opened


def place(pipeline: Pipeline, wanted: runs.Order) -> runs.Opened:
    """Like `begin`; raises CeleryctlError when the run that is under way was asked for differently."""
    opened = begin(pipeline, wanted)
    run = opened.run
    if opened.joined and (run.refresh, run.record_limit) != (wanted.refresh, wanted.limit):
        raise _differing(run, "is being", fix=f"{_command(run)}    (joins it), then this one again")
    return opened


def _differing(run: Run, state: str, *, fix: str) -> CeleryctlError:
    """The error of who asked for something else than the run that was under way does."""
    why = f"run {str(run.id)[:8]} has refresh={run.refresh}, limit={run.record_limit}"
    return CeleryctlError(f"{run.dataset} {state} fetched already, in another way", why=why, fix=fix)


def _command(run: Run) -> str:
    """The command that joins the run."""
    limit = "" if run.record_limit is None else f" --limit {run.record_limit}"
    return f"celeryctl fetch {run.dataset.replace('_', '-')}{limit}{' --refresh' if run.refresh else ''}"


def see_through(first: uuid.UUID, followers: tuple[str, ...], finish: Callable[[uuid.UUID], Run]) -> list[Run]:
    """The run and those that follow it, each brought to its end by ``finish``."""
    ended = [finish(first)]
    for name in followers if ended[0].status != "cancelled" else ():
        with session():
            following = runs.successor(ended[0], name)
        if following is not None:
            ended.append(finish(following.id))
    return ended


def intend(settings: "Settings", datasets: Datasets, wanted: runs.Order) -> list[Intent]:
    """What the order would ask for now. Nothing is opened and no source is asked."""
    intents = []
    for name in (wanted.dataset, *wanted.followers):
        source, work = datasets[name].source, work_of(datasets[name], settings)
        stale = runs.stale_before(wanted, work)
        run = Run(dataset=name, refresh=wanted.refresh, stale_before=stale, record_limit=wanted.limit)
        with session():
            records = wanted.limit if work.listing else plan.expected(run, work)
        requests = None if records is None else -(-records // source.page_size)
        intents.append(Intent(name, settings.sources[name].url, records, requests))
    return intents


def verdict(ended: list[Run]) -> int:
    """The exit code of runs that succeeded, were done in part or still run; of those that failed the gravest error.

    Raises CeleryctlError also where one that was to follow was under way already, and did something else.
    """
    if failed := [run for run in ended if run.status == "failed"]:
        run = max(failed, key=lambda run: run.error_exit or 1)
        error = SourceUnreachableError if run.error_exit == SourceUnreachableError.exit_code else CeleryctlError
        raise error(f"{run.dataset} could not be fetched", why=run.error or "", fix=f"{_command(run)}    (later)")
    first = ended[0]
    for run in ended:
        if (run.refresh, run.record_limit) != (first.refresh, first.record_limit):
            wanted = Run(dataset=run.dataset, refresh=first.refresh, record_limit=first.record_limit)
            raise _differing(run, "was being", fix=_command(wanted))
    return exit_code(ended)


def exit_code(ended: list[Run]) -> int:
    """0 when all succeeded, the failed run's own code, 1 when one was cancelled, else 3: done in part."""
    failed = [run.error_exit or 1 for run in ended if run.status == "failed"]
    if failed:
        return max(failed)
    if any(run.status == "cancelled" for run in ended):
        return 1
    return 3 if any(run.status == "partial" for run in ended) else 0
