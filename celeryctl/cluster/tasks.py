"""The tasks: one that opens a run for every data set, and one that does a batch."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from celeryctl import logs
from celeryctl.cluster.publish import announce
from celeryctl.errors import CeleryctlError, UnreachableError
from celeryctl.pipeline import journal
from celeryctl.storage import batches
from celeryctl.storage.runs import Order

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

logger = logging.getLogger(__name__)

BATCH = "celeryctl.batch"
# An order to fetch is in no ledger yet: while the database is away it waits in the broker, some 20 minutes at most.
PATIENCE = {"autoretry_for": (UnreachableError,), "retry_backoff": True, "retry_backoff_max": 60, "max_retries": 24}


def name_of(dataset: str) -> str:
    """The name of the task that fetches a data set."""
    return f"celeryctl.fetch.{dataset}"


def names(datasets: Iterable[str]) -> frozenset[str]:
    """The names of all tasks."""
    return frozenset({BATCH, *map(name_of, datasets)})


def register(app: "App") -> None:
    """Give the app its tasks, and no other app of this process: they work with this one's database and keys."""
    # What nobody foresaw has its line already when Celery hears of it.
    app.task(name=BATCH, shared=False, bind=True, throws=(CeleryctlError,))(_batch(app))
    for dataset in app.context.datasets:
        app.task(name=name_of(dataset), shared=False, bind=True, **PATIENCE)(_fetch(app, dataset))


def _batch(app: "App"):  # type: ignore[no-untyped-def]
    def batch(task: Any, batch_id: int) -> None:
        """Do a batch, unless it is done already or in somebody else's hands: a message may come late or twice."""
        with logs.about(task=task.request.id), _discreet(f"batch {batch_id}"):
            announce(app, _following(app, task.request, batch_id))

    return batch


def _following(app: "App", request: Any, batch_id: int) -> list[int]:
    """Do it. Where it cannot be done nothing was written: it is announced again when its lease is over."""
    try:
        pipeline = app.pipeline  # which needs its keys
        claim = batches.claim(batch_id, holder=request.hostname, task_id=request.id)
    except CeleryctlError as exc:
        with logs.about(batch=batch_id):
            journal.untaken(exc)
        return []
    if claim is None:
        return []
    with journal.about(claim), _discreet(f"batch {batch_id}"), suppress(CeleryctlError):
        return pipeline.work(claim)
    return []


def _fetch(app: "App", dataset: str):  # type: ignore[no-untyped-def]
    def fetch(task: Any, *, refresh: bool = False, limit: int | None = None) -> None:
        """Open a run of the data set, or join the one that is under way. ``limit`` counts records, from 1 on."""
        if limit is not None and (type(limit) is not int or not 1 <= limit < 2**63):
            logger.error("%s is not fetched: a limit is a whole number from 1 on", dataset)
            return
        with logs.about(task=task.request.id, dataset=dataset), _discreet(f"a fetch of {dataset}"):
            opened = app.pipeline.open(Order(dataset=dataset, trigger="task", refresh=refresh, limit=limit))
            if opened:
                with logs.about(run=opened.run.id):
                    logger.info("run joined" if opened.joined else "run opened")
            announce(app, opened.batches if opened else ())

    return fetch


@contextmanager
def _discreet(what: str) -> Iterator[None]:
    """Keep to our own log, where it is masked, what an exception that nobody foresaw says.

    Celery would publish its words to everybody who listens: a row's value may be among them.
    """
    try:
        yield
    except CeleryctlError:
        raise
    except Exception as exc:
        logger.exception("%s ended unexpectedly", what)
        fix = "celeryctl logs    (its traceback)"
        raise CeleryctlError(f"{what} ended unexpectedly", why=type(exc).__name__, fix=fix) from None
