"""The progress of runs: bars on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console

from celeryctl.storage.ledger import Run

EVERY = 5.0  # seconds between two lines off a terminal, unless a tenth was done


class Progress:
    """Shows run after run, each from `show` being called again and again."""

    def __init__(self, console: Console, *, every: float = EVERY) -> None:
        self._console, self._every = console, every
        self._bars = _bars(console) if console.is_terminal and not console.is_dumb_terminal else None
        self._tasks: dict[object, rich_progress.TaskID] = {}
        self._said: dict[object, tuple[float, int]] = {}

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
        done = run.created + run.updated + run.unchanged + run.rejected + run.absent
        if self._bars:
            self._draw(self._bars, run, done)
        else:
            self._tell(run, done)

    def _draw(self, bars: rich_progress.Progress, run: Run, done: int) -> None:
        if run.id not in self._tasks:
            self._tasks[run.id] = bars.add_task(run.dataset, total=run.expected)
        total = max(done, 1) if run.status != "running" else run.expected
        bars.update(self._tasks[run.id], completed=done if run.status == "running" else total, total=total)

    def _tell(self, run: Run, done: int) -> None:
        tenth = 10 * done // run.expected if run.expected else 0
        last, told = self._said.get(run.id, (0.0, -1))
        if run.status == "running" and tenth <= told and time.monotonic() - last < self._every:
            return
        self._said[run.id] = (time.monotonic(), tenth)
        of = f" of {run.expected:,}" if run.expected else ""
        self._console.print(f"{run.dataset}: {run.status}, {done:,}{of} records", highlight=False)


def _bars(console: Console) -> rich_progress.Progress:
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description:<14}"),
        rich_progress.BarColumn(bar_width=None),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
        console=console,
        expand=False,
    )
