"""The runs that end while somebody follows them."""

import uuid
from datetime import datetime, timedelta

from celeryctl.storage import coverage
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

OVERLAP = timedelta(minutes=2)  # a run's end is dated by its transaction, which others see only after it has committed


class Feed:
    """Every run that ended since this was made, each once, in the order of their ends."""

    def __init__(self) -> None:
        with session():
            self._latest: datetime = coverage.clock()
        self._known: set[uuid.UUID] = set()
        self.new()  # what is to be seen already is old

    def new(self) -> list[Run]:
        """Those that ended since the last call. Raises UnreachableError; nothing is lost by that."""
        since = self._latest - OVERLAP
        with session():
            ended = list(Run.select().where(Run.finished_at >= since).order_by(Run.finished_at, Run.started_at))
        fresh = [run for run in ended if run.id not in self._known]
        self._known = {run.id for run in ended}
        self._latest = max((run.finished_at for run in ended), default=self._latest)
        return fresh
