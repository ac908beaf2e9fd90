"""What happens in the cluster, as it happens: from the ledger, and from Celery's events."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from celeryctl.cluster.events import Events
from celeryctl.errors import CeleryctlError
from celeryctl.services import context
from celeryctl.storage import coverage
from celeryctl.storage.database import session
from celeryctl.storage.feed import DELETED, ENDED, PROGRESS, Feed, Moment, Pace
from celeryctl.storage.ledger import Run
from celeryctl.storage.notices import Notices

POLL = 1.0  # seconds; a notice ends the wait at once
DATABASE_AWAY, DATABASE_BACK = "database-away", "database-back"
ONLINE, OFFLINE, SILENT = "worker-online", "worker-offline", "worker-silent"
BATCHES = {"claimed": "batch-begun", "done": "batch-done", "released": "batch-released"}


class Tail:
    """Follows one run, or all of them.

    ``renew`` is called while a server is away, with ``lost`` if that is the database: it may be another by now.
    """

    def __init__(self, run: Run | None, *, renew: Callable[..., None]) -> None:
        self._run_id = run.id if run else None
        self._renew = renew
        self._feed, self._pace = Feed(), Pace()
        self._datasets: dict[str, str] = {}
        self._workers = _alive()
        self._away = False

    def past(self, count: int | None, age: timedelta | None) -> list[Moment]:
        """The last things that happened, oldest first."""
        return self._feed.past(count, age=age, run_id=self._run_id)

    def follow(self) -> Iterator[Moment]:
        """What happens from now on, for ever, or until the run that is followed is over or deleted."""
        known = self._feed.known.get(self._run_id) if self._run_id else None
        if self._run_id and (known is None or known.status != "running"):
            return
        notices = Notices(lambda: str(context().settings.database_url))
        events = Events(lambda: context().settings.redis_url)
        try:
            while True:
                told = notices.wait(POLL)
                if events.away:
                    self._renew()
                for moment in (*events.new(), *self._look(told)):
                    if self._concerns(moment):
                        yield moment
                        if moment.kind in (ENDED, DELETED) and self._run_id:
                            return
        finally:
            events.close()
            notices.close()

    def _look(self, told: list[dict[str, Any]]) -> list[Moment]:
        """What the ledger shows since the last look. That the database has gone, or is back, is a moment, too."""
        try:
            news = self._feed.new()
            workers = self._changed()
        except CeleryctlError as exc:
            self._renew(lost=True)
            found = [] if self._away else [Moment(kind=DATABASE_AWAY, detail={"error": str(exc)})]
            self._away = True
            return found
        back = [Moment(kind=DATABASE_BACK)] if self._away else []
        self._away = False
        self._datasets |= {str(run.id): run.dataset for run in self._feed.known.values()}
        paced = [one for one in news if one.kind != PROGRESS or (one.run is not None and self._pace.due(one.run))]
        begun = [moment for notice in told if (moment := self._batch(notice))]
        return [*back, *workers, *_woven(paced, begun)]

    def _batch(self, notice: dict[str, Any]) -> Moment | None:
        kind = BATCHES.get(str(notice.get("what")))
        if kind is None:
            return None
        names = ("run", "batch", "lo", "hi", "holder", "task_id")
        detail = {name: notice.get(name) for name in names}
        return Moment(kind=kind, detail={**detail, "dataset": self._datasets.get(str(notice.get("run")))})

    def _changed(self) -> list[Moment]:
        """Workers that came, ended, or fell silent."""
        before, self._workers = self._workers, _alive()
        found = [Moment(kind=ONLINE, detail={"worker": name}) for name in self._workers if not before.get(name)]
        for name, alive in before.items():
            if alive and not self._workers.get(name):
                kind = SILENT if name in self._workers else OFFLINE
                found.append(Moment(kind=kind, detail={"worker": name}))
        return [one for one in found if one.kind != ONLINE or self._workers[str(one.detail["worker"])]]

    def _concerns(self, moment: Moment) -> bool:
        run = moment.run.id if moment.run else moment.detail.get("run")
        return self._run_id is None or run is None or _same(run, self._run_id)


def _woven(runs: list[Moment], batches: list[Moment]) -> Iterator[Moment]:
    """What happened to batches stands before the end of their run."""
    left = batches
    for moment in runs:
        if moment.kind == ENDED and moment.run is not None:
            ours = [one for one in left if _same(one.detail["run"], moment.run.id)]
            left = [one for one in left if one not in ours]
            yield from ours
        yield moment
    yield from left


def _same(run: object, run_id: uuid.UUID) -> bool:
    return str(run) == str(run_id)


def _alive() -> dict[str, bool]:
    with session():
        return coverage.alive()
