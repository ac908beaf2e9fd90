"""The lines that `up` prints, on a terminal and in a pipe alike."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from celeryctl.errors import UnreachableError
from celeryctl.local.children import GRACE
from celeryctl.local.choose import Choice
from celeryctl.pipeline.context import Context
from celeryctl.settings import Settings, masked
from celeryctl.storage.ledger import Run
from celeryctl.views.progress import Progress
from celeryctl.views.runs import STYLES, as_json
from celeryctl.views.users import plain

MORE = (
    ("celeryctl stats", "coverage, queue, workers, sources"),
    ("celeryctl users list", "what was fetched"),
    ("celeryctl logs -f", "what everybody is doing"),
    ("celeryctl down", "stop all this; Ctrl-C does the same"),
)


class Lines:
    """Tells on a console what `up` does. ``show`` prints the stats at the end of a round."""

    def __init__(self, console: Console, show: Callable[[dict[str, Any]], None]) -> None:
        self._console, self._show = console, show
        self._progress: Progress | None = None

    def already(self, running: Mapping[str, Any]) -> None:
        """Another `up` runs here."""
        since = f", since {running['started']}" if running else ""
        self._say(f"celeryctl up is running here already: pid {running.get('pid', 'unknown')}{since}")
        self._say("See what it does: celeryctl stats. Stop it: celeryctl down", "dim")

    def starting(self, home: Path, left: list[str]) -> None:
        """Before anything is there."""
        self._say(f"Starting celeryctl in {home}", "bold")
        if left:
            self._say(f"Stopped first, left by an `up` that was killed: {', '.join(left)}", "yellow")

    def placed(self, context: Context, choice: Choice, names: list[str]) -> None:
        """What runs where."""
        settings = context.settings
        if choice.silent:
            self._say("! Local records in place of live ones: these sources do not answer", "bold yellow")
            for reason in choice.silent:
                self._say(f"!   {reason}", "yellow")
        for name, value in _places(settings, choice, names):
            self._say(Text.assemble((f"  {name:<10}", "bold"), plain(value)))

    def ready(self, seconds: float) -> None:
        """Broker, database and workers answer."""
        self._say(f"Ready in {seconds:.1f} s. In another terminal, in this folder or below:", "bold green")
        for command, what in MORE:
            self._say(Text.assemble(f"  {command:<22}", (what, "dim")))

    def finished(self, run: Run, due: datetime | None) -> None:
        """A run has ended, well or not."""
        one = as_json(run)
        counts = f"{run.created:,} new, {run.updated:,} changed, {run.unchanged:,} same, {run.rejected:,} rejected"
        following = f"  next {due.astimezone():%H:%M:%S}" if due else ""
        self._say(
            Text.assemble(
                (f"{run.finished_at.astimezone():%H:%M:%S}  ", "dim"),
                f"{run.dataset:<12}  ",
                (f"{run.status:<9}", STYLES[run.status]),
                f"  {counts}  {one['seconds']:.1f} s",
                (following, "dim"),
            )
        )
        if run.error:
            self._say(f"          {run.error}", STYLES[run.status])

    def progress(self, run: Run) -> None:
        """Where a run stands that is waited for."""
        if self._progress is None:
            self._progress = Progress(self._console).__enter__()
        self._progress.show(run)

    def away(self, error: UnreachableError | None) -> None:
        """The database has gone, or is back again."""
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        self._say(f"{now}  {error or 'the database answers again'}", "red" if error else "green")

    def restarting(self, name: str, how: str, pause: float) -> None:
        """Something has ended by itself, and is started again after so many seconds."""
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        when = f"in {pause:g} s" if pause else "at once"
        self._say(f"{now}  {name} {how}; it is started again {when}. See: celeryctl logs {name}", "red")

    def stats(self, document: dict[str, Any]) -> None:
        """Where things stand."""
        self._end_progress()
        self._show(document)

    def stopping(self) -> None:
        """Somebody has asked for it, or something has ended by itself."""
        self._end_progress()
        limit = f"batches under way are finished, within {GRACE:g} s"
        self._say(f"Stopping: {limit}; Ctrl-C again does it at once", "dim")

    def stopped(self) -> None:
        """Nothing is left running."""
        self._say("Stopped. The data are kept; `celeryctl up` goes on from there", "dim")

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def _say(self, text: str | Text, style: str = "") -> None:
        self._console.print(text if isinstance(text, Text) else plain(text, style), soft_wrap=True)


def _places(settings: Settings, choice: Choice, names: list[str]) -> list[tuple[str, str]]:
    """Names and values of the first lines."""
    own = settings.environment.own
    embedded = {name: "" if own(name) else "  (embedded)" for name in ("DATABASE_URL", "REDIS_URL")}
    hosts = dict.fromkeys("/".join(source.url.split("/")[:3]) for source in settings.sources.values())
    sources = f"{choice.kind}: {', '.join(hosts)}"
    places = [
        ("database", masked(str(settings.database_url)) + embedded["DATABASE_URL"]),
        ("broker", masked(str(settings.redis_url)) + embedded["REDIS_URL"]),
        ("sources", sources + (", made-up records in a database of their own" if choice.kind == "local" else "")),
        ("running", ", ".join(names)),
    ]
    if "flower" in names:
        places.append(("flower", f"http://{settings.flower_host}:{settings.flower_port}"))
    return places
