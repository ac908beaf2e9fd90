"""The tasks: one that opens a run for every data set, and one that does a batch."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeryctl import logs
from celeryctl.cluster.publish import announce
from celeryctl.errors import CeleryctlError, UnreachableError
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
    app.task(name=BATCH, shared=False, bind=True)(_batch(app))
    for dataset in app.context.datasets:
        app.task(name=name_of(dataset), shared=False, bind=True, **PATIENCE)(_fetch(app, dataset))


def _batch(app: "App"):  # type: ignore[no-untyped-def]
    def batch(task: Any, batch_id: int) -> None:
        """Do a batch, unless it is done already or in somebody else's hands: a message may come late or twice."""
        with logs.about(task=task.request.id), _discreet(f"batch {batch_id}"):
            try:
                claim = batches.claim(batch_id, holder=task.request.hostname, task_id=task.request.id)
                following = app.pipeline.work(claim) if claim else []
            except CeleryctlError as exc:
                # Nothing was written. The batch is announced again when its lease is over.
                logger.error("batch %s: %s", batch_id, exc)  # noqa: TRY400 - its reason says it all
                return
            announce(app, following)

    return batch


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
