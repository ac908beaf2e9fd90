import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from servers import KEY

from celeryctl.errors import DatabaseUnreachableError
from celeryctl.local.choose import Choice
from celeryctl.pipeline.context import Context
from celeryctl.views.follow import MORE, Lines

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATABASE, BROKER = "postgresql://u:s3cret@h/d", "redis://:s3cret@h:6379/0"


class Told:
    """Lines on a console of this width, and what it got."""

    def __init__(self, width: int = 100) -> None:
        self._out = io.StringIO()
        console = Console(file=self._out, width=width, markup=False, highlight=False, emoji=False, color_system=None)
        self.shown: list[Any] = []
        self.lines = Lines(console, self.shown.append)

    @property
    def text(self) -> str:
        return self._out.getvalue()


def ended(**changes: Any) -> Any:
    run = {"id": 1, "dataset": "credit_cards", "trigger": "beat", "status": "succeeded", "created": 1234, "updated": 2,
           "unchanged": 3, "rejected": 4, "absent": 0, "requests": 5, "retries": 0, "started_at": NOW,
           "finished_at": NOW + timedelta(seconds=1.5), "error": None}  # fmt: skip
    return SimpleNamespace(**(run | changes))


def context(tmp_path: Path, **further: str) -> Context:
    own = {"CELERYCTL_HOME": f"{tmp_path}/.celeryctl", "CARD_ENCRYPTION_KEYS": KEY}
    return Context.read(own | {"DATABASE_URL": DATABASE, "REDIS_URL": BROKER} | further)


def test_a_run_is_one_line_with_its_counts_and_when_the_next_is_due() -> None:
    told = Told(40)
    told.lines.finished(ended(), NOW + timedelta(minutes=15))
    clock = f"{(NOW + timedelta(seconds=1.5)).astimezone():%H:%M:%S}"
    due = f"{(NOW + timedelta(minutes=15)).astimezone():%H:%M:%S}"
    assert told.text == (
        f"{clock}  credit_cards  succeeded  1,234 new, 2 changed, 3 same, 4 rejected  1.5 s  next {due}\n"
    )


def test_a_failed_run_has_its_reason_below() -> None:
    told = Told()
    told.lines.finished(ended(status="failed", error="503 from [red]h[/]"), None)
    first, second = told.text.splitlines()
    assert "failed" in first
    assert "next" not in first
    assert second.strip() == "503 from [red]h[/]"


def test_the_places_are_told_without_their_passwords(tmp_path: Path) -> None:
    told = Told()
    told.lines.placed(context(tmp_path, FLOWER_PORT="5556"), Choice("live"), ["worker1", "beat", "flower"])
    assert "s3cret" not in told.text
    for line in ("  database  postgresql://u:****@h/d\n", "  broker    redis://:****@h:6379/0\n",
                 "  running   worker1, beat, flower\n", "  flower    http://127.0.0.1:5556\n",
                 "  sources   live: https://jsonplaceholder.typicode.com, https://random-data-api.com\n"):  # fmt: skip
        assert line in told.text


def test_local_records_in_place_of_live_ones_are_told_aloud(tmp_path: Path) -> None:
    told = Told()
    told.lines.placed(context(tmp_path), Choice("local", silent=("users: no answer",)), ["api"])
    assert told.text.startswith("! Local records in place of live ones")
    assert "!   users: no answer\n" in told.text
    assert "made-up records in a database of their own" in told.text
    assert "flower" not in told.text


def test_a_database_that_goes_and_returns_is_told() -> None:
    told = Told()
    told.lines.away(DatabaseUnreachableError("the database does not answer"))
    told.lines.away(None)
    assert [line.split("  ", 1)[1] for line in told.text.splitlines()] == [
        "the database does not answer", "the database answers again",
    ]  # fmt: skip


def test_the_commands_for_the_other_terminal_are_named_when_it_is_ready() -> None:
    told = Told()
    told.lines.ready(4.321)
    assert told.text.startswith("Ready in 4.3 s.")
    assert all(command in told.text for command, _ in MORE)


@pytest.mark.parametrize(("running", "pid"), [({"pid": 7, "started": "today"}, "pid 7, since today"), ({}, "unknown")])
def test_a_second_up_says_that_one_is_running(running: dict[str, Any], pid: str) -> None:
    told = Told()
    told.lines.already(running)
    assert "running here already" in told.text
    assert pid in told.text
    assert "celeryctl down" in told.text


def test_the_beginning_and_the_end_are_told(tmp_path: Path) -> None:
    told = Told()
    told.lines.starting(tmp_path, ["worker1"])
    told.lines.stopping()
    told.lines.stopped()
    assert f"Starting celeryctl in {tmp_path}\n" in told.text
    assert "left by an `up` that was killed: worker1" in told.text
    assert told.text.endswith("Stopped. The data are kept; `celeryctl up` goes on from there\n")
    fresh = Told()
    fresh.lines.starting(tmp_path, [])
    assert "killed" not in fresh.text


def test_the_stats_are_left_to_their_own_view() -> None:
    told = Told()
    told.lines.stats({"total_users": 1})
    assert (told.shown, told.text) == ([{"total_users": 1}], "")


def test_what_a_source_says_steers_nothing() -> None:
    told = Told()
    told.lines.finished(ended(status="failed", error="\x1b[2J\u202ea\x9b"), None)
    told.lines.away(DatabaseUnreachableError("gone\x1b[2J"))
    assert told.text.count("\N{REPLACEMENT CHARACTER}") == 4
    assert all(line.isprintable() for line in told.text.splitlines())
