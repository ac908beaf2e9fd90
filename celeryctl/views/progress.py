"""The progress of runs: bars on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console
from rich.text import Text

from celeryctl.storage.feed import EVERY, Pace, done
from celeryctl.storage.ledger import Run

SURE = 1.0  # seconds; before, a rate would only be noise
NARROW = 60  # columns; below, the time that is left is told and the rate is not


class Progress:
    """Shows run after run, each from `show` being called again and again."""

    def __init__(self, console: Console, *, every: float = EVERY) -> None:
        self._console, self._pace = console, Pace(every)
        self._bars = _bars(console) if console.is_terminal and not console.is_dumb_terminal else None
        self._tasks: dict[object, rich_progress.TaskID] = {}
        self._began: dict[object, tuple[float, int]] = {}

    def __enter__(self) -> "Progress":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def show(self, run: Run) -> None:
        """Show where the run stands."""
        if self._bars:
            self._draw(self._bars, run)
        elif self._pace.due(run):
            self._tell(run)

    def _draw(self, bars: rich_progress.Progress, run: Run) -> None:
        if run.id not in self._tasks:
            self._tasks[run.id] = bars.add_task(run.dataset, total=run.expected)
        total = run.expected if run.status == "running" else max(done(run), 1)
        bars.update(self._tasks[run.id], completed=done(run) if run.status == "running" else total, total=total)

    def _tell(self, run: Run) -> None:
        of = f" of {run.expected:,}" if run.expected else ""
        line = f"{run.dataset}: {run.status}, {done(run):,}{of} records{self._rate(run)}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _rate(self, run: Run) -> str:
        """How fast it went since we look at it."""
        began, first = self._began.setdefault(run.id, (time.monotonic(), done(run)))
        seconds = time.monotonic() - began
        return f", {(done(run) - first) / seconds:,.0f}/s" if seconds > SURE else ""


class _Counts(rich_progress.ProgressColumn):
    """How many of how many records."""

    def render(self, task: rich_progress.Task) -> Text:
        of = f"/{task.total:,.0f}" if task.total is not None else ""
        return Text(f"{task.completed:,.0f}{of}", "progress.download")


class _Rate(rich_progress.ProgressColumn):
    """Records per second."""

    def render(self, task: rich_progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", "progress.data.speed")


def _bars(console: Console) -> rich_progress.Progress:
    rate = () if console.width < NARROW else (_Rate(),)
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description:<12}", markup=False),
        rich_progress.BarColumn(bar_width=None),
        _Counts(),
        *rate,
        rich_progress.TimeRemainingColumn(compact=True),
        console=console,
        expand=True,
    )
