"""Following a run that workers do."""

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from celeryctl.cluster.signals import reconcile_once
from celeryctl.errors import NoWorkerError, UnreachableError, WaitTimeoutError
from celeryctl.storage import coverage
from celeryctl.storage.database import session
from celeryctl.storage.feed import current
from celeryctl.storage.ledger import Run

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

POLL = 0.2  # seconds between two looks
RECONCILE = 2.0  # seconds between two reconciliations by who waits


def require_worker() -> None:
    """Raise NoWorkerError when nobody would do the work."""
    with session():
        if not any(coverage.alive().values()):
            raise NoWorkerError("no worker is running", why="none has shown itself for 15 s", fix="celeryctl worker")


def wait(app: "App", run_id: uuid.UUID, progress: Callable[[Run], None], *, deadline: float | None) -> Run:
    """Look at the run until it is over, announcing again what gets lost. An outage on the way is waited out.

    ``deadline`` is in the time of `time.monotonic`. Raises WaitTimeoutError, the run itself goes on; CeleryctlError
    where somebody has deleted it.
    """
    reconciled = time.monotonic()
    while True:
        try:
            run: Run | None = current(run_id)
        except UnreachableError:
            run = None
        if run is not None:
            progress(run)
            if run.status != "running":
                return run
        now = time.monotonic()
        if deadline is not None and now > deadline:
            raise WaitTimeoutError(
                f"run {str(run_id)[:8]} is not over yet",
                why="the time to wait is; the run goes on",
                fix=f"celeryctl tail {str(run_id)[:8]}",
            )
        if now - reconciled > RECONCILE:
            reconciled = now
            reconcile_once(app)
        time.sleep(POLL)
