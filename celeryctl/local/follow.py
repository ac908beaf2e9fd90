"""Following what happens in the cluster, and who puts it into words."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from celeryctl.errors import UnreachableError
from celeryctl.local.choose import Choice
from celeryctl.local.interrupt import Interrupt
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.schedule import next_due
from celeryctl.storage.database import session
from celeryctl.storage.feed import ENDED, Feed, current
from celeryctl.storage.ledger import Run

POLL = 0.25  # seconds between two looks


class Teller(Protocol):
    """Puts into words what `up` does."""

    def already(self, running: Mapping[str, Any]) -> None: ...
    def starting(self, home: Path, left: list[str]) -> None: ...
    def placed(self, context: Context, choice: Choice, names: list[str]) -> None: ...
    def ready(self, seconds: float) -> None: ...
    def finished(self, run: Run, due: datetime | None) -> None: ...
    def progress(self, run: Run) -> None: ...
    def away(self, error: UnreachableError | None) -> None: ...
    def stats(self, document: dict[str, Any]) -> None: ...
    def restarting(self, name: str, how: str, pause: float) -> None: ...
    def stopping(self) -> None: ...
    def stopped(self) -> None: ...


class Follower:
    """Tells of every run that ends from now on. ``check`` is called at every look."""

    def __init__(self, context: Context, teller: Teller, interrupt: Interrupt, *, check: Callable[[], None]) -> None:
        self._sources = context.settings.sources
        self._teller, self._interrupt, self._check = teller, interrupt, check
        self._feed = Feed()
        self._away = False

    def until(self, reached: Callable[[], bool]) -> None:
        """Look again and again until something is reached."""
        while not reached():
            self.look()

    def look(self) -> None:
        """Wait a moment, then look. Raises AskedToEndError, and what ``check`` raises."""
        self._interrupt.pause(POLL)
        self._check()
        self.tell()

    def tell(self) -> None:
        """Tell what has ended. A database that is away for a while is waited for."""
        try:
            for moment in self._feed.new():
                if moment.kind == ENDED and moment.run is not None:
                    self._teller.finished(moment.run, self._due(moment.run.dataset))
        except UnreachableError as exc:
            self._say_away(exc)
        else:
            self._say_away(None)

    def run(self, run_id: uuid.UUID) -> Run | None:
        """The run as it is now, which is told as well; None while the database is away."""
        try:
            found = current(run_id)
        except UnreachableError:
            return None
        self._teller.progress(found)
        return found

    def _due(self, dataset: str) -> datetime | None:
        # With a database of one's own, runs of data sets that only others have are seen too.
        if dataset not in self._sources:
            return None
        with session():
            return next_due(dataset, self._sources[dataset].every)

    def _say_away(self, error: UnreachableError | None) -> None:
        if self._away != bool(error):
            self._away = bool(error)
            self._teller.away(error)
