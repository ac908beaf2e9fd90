"""What happens to runs, read from their table: the past ones, and those that are under way while somebody follows."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from celeryctl.errors import CeleryctlError
from celeryctl.storage import coverage
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Run

OVERLAP = timedelta(minutes=2)  # a run's end is dated by its transaction, which others see only after it has committed
EVERY = 5.0  # seconds between two words on a run, unless a tenth was done
OPENED, PROGRESS, ENDED, DELETED = "run-opened", "run-progress", "run-ended", "run-deleted"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened. ``detail`` holds what belongs to its kind alone: plain values, no secrets."""

    kind: str
    at: datetime = field(default_factory=now)
    run: Run | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def done(run: Run) -> int:
    """How many records are dealt with, well or not."""
    return run.created + run.updated + run.unchanged + run.rejected + run.absent


def current(run_id: uuid.UUID) -> Run:
    """The run as it is now. Raises CeleryctlError where somebody has deleted it, UnreachableError."""
    with session():
        run: Run | None = Run.get_or_none(Run.id == run_id)
    if run is None:
        raise CeleryctlError(
            f"run {str(run_id)[:8]} is no longer there", why="somebody has deleted it", fix="celeryctl runs"
        )
    return run


class Pace:
    """When a run's progress is worth a word: with every tenth, with its end, and now and then in between."""

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._told: dict[uuid.UUID, tuple[float, int]] = {}

    def due(self, run: Run) -> bool:
        """Whether to tell of it now; the first time it is."""
        tenth = 10 * done(run) // run.expected if run.expected else 0
        told = self._told.get(run.id)
        if run.status == "running" and told and tenth <= told[1] and self._clock() - told[0] < self._every:
            return False
        self._told[run.id] = (self._clock(), tenth)
        return True


class Feed:
    """What happens to runs from when this was made, each thing once and in its order."""

    def __init__(self) -> None:
        with session():
            self._latest: datetime = coverage.clock()
        self.known: dict[uuid.UUID, Run] = {}
        self.new()  # what is to be seen already is old

    def new(self) -> list[Moment]:
        """What happened since the last call. Raises UnreachableError; nothing is lost by that."""
        before = self.known
        with session():
            found = {run.id: run for run in _recent(self._latest - OVERLAP)}
            lost = [run_id for run_id, run in before.items() if run.status == "running" and run_id not in found]
            found |= {run.id: run for run in Run.select().where(Run.id.in_(lost))} if lost else {}
        self.known = found
        self._latest = max((run.finished_at for run in found.values() if run.finished_at), default=self._latest)
        moments = [moment for run in found.values() for moment in _changes(before.get(run.id), run)]
        moments += [Moment(kind=DELETED, run=before[run_id]) for run_id in lost if run_id not in found]
        return _ordered(moments)

    def past(self, count: int | None, *, age: timedelta | None = None, run_id: uuid.UUID | None = None) -> list[Moment]:
        """The last ``count`` things that happened before, not older than ``age``, to one run or to all of them.

        Nothing is told twice: what `new` will tell of is left to it.
        """
        with session():
            since = None if age is None else coverage.clock() - age
            runs = [*_last(Run.started_at, count, since, run_id), *_last(Run.finished_at, count, since, run_id)]
        moments = [moment for run in {run.id: run for run in runs}.values() for moment in self._told(run)]
        moments = _ordered([moment for moment in moments if since is None or moment.at >= since])
        return moments if count is None else moments[len(moments) - min(count, len(moments)) :]

    def _told(self, run: Run) -> list[Moment]:
        """What has happened to it, without what is news."""
        window = self._latest - OVERLAP
        if run.id not in self.known and (run.finished_at is None or run.finished_at >= window):
            return []
        seen = self.known.get(run.id, run)
        return _changes(None, seen)


def _recent(since: datetime) -> list[Run]:
    """Runs that are under way, and those that ended since."""
    running = Run.select().where(Run.status == "running")
    ended = Run.select().where(Run.finished_at >= since)
    return [*running, *ended]


def _last(moment: Any, count: int | None, since: datetime | None, run_id: uuid.UUID | None) -> list[Run]:
    query = Run.select().where(moment.is_null(False)).order_by(moment.desc()).limit(count)
    if since is not None:
        query = query.where(moment >= since)
    return list(query if run_id is None else query.where(Run.id == run_id))


def _ordered(moments: list[Moment]) -> list[Moment]:
    """By time; the end of a run stands before the beginning of those that it opened."""
    return sorted(moments, key=lambda moment: (moment.at, moment.run.started_at if moment.run else moment.at))


def _changes(before: Run | None, run: Run) -> list[Moment]:
    """What lies between two looks at a run; all of its life where there was none before."""
    moments = [] if before else [Moment(kind=OPENED, at=run.started_at, run=run)]
    if run.finished_at:
        ended = before is None or before.finished_at is None
        return moments + ([Moment(kind=ENDED, at=run.finished_at, run=run)] if ended else [])
    if before and done(before) != done(run):
        moments.append(Moment(kind=PROGRESS, run=run))
    return moments
