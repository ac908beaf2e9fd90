"""What failed, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from celeryctl.ages import ago, until
from celeryctl.pipeline.retry import Retried
from celeryctl.storage.failures import Failure
from celeryctl.storage.letters import Kept
from celeryctl.views.grid import Column, Grid
from celeryctl.views.users import plain

WHY = 20  # characters of the reasons at least


def as_json(found: Sequence[Failure], count: int, letters: Sequence[Kept]) -> dict[str, Any]:
    """The public form. ``total`` counts those that are not listed, too."""
    names = ("id", "dataset", "user_id", "outcome", "reasons", "attempts", "tried_at", "next_try")
    listed = [{name: getattr(one, name) for name in names} for one in found]
    return {"total": count, "failures": listed, "dead_letters": [asdict(letter) for letter in letters]}


def listing(found: Sequence[Failure], count: int, letters: Sequence[Kept], now: datetime) -> Group:
    """One line for every record that failed, and one for every message that was none."""
    parts: list[RenderableType] = []
    if found:
        parts.append(_records(found, now))
    if count > len(found):
        parts.append(Text(f"… and {count - len(found):,} more: --limit", "dim"))
    if letters:
        parts += [Text()] * bool(parts) + [_letters(letters, now)]
    if not parts:
        parts.append(Text("Nothing has failed."))
    following = "celeryctl failed --retry --all" if found else "celeryctl stats"
    return Group(*parts, Text(f"\nNext: {following}", "dim"))


def _records(found: Sequence[Failure], now: datetime) -> Grid:
    again = ["not by itself" if one.next_try is None else until(one.next_try, now) for one in found]
    return Grid(
        [
            Column("id", [plain(one.id) for one in found]),
            Column("outcome", [plain(one.outcome) for one in found], rank=2),
            Column("tried", [Text(f"{one.attempts:,}") for one in found], rank=3, right=True),
            Column("last", [Text(ago(one.tried_at, now)) for one in found], rank=4),
            Column("again", [Text(told) for told in again], rank=1),
            Column("why", [plain("; ".join(one.reasons)) for one in found], least=WHY),
        ]
    )


def _letters(letters: Sequence[Kept], now: datetime) -> Grid:
    return Grid(
        [
            Column("set aside", [Text(ago(one.at, now)) for one in letters]),
            Column("task", [plain(one.task or "unknown") for one in letters], rank=1),
            Column("by", [plain(one.origin or "unknown") for one in letters], rank=3),
            Column("bytes", [Text(f"{one.size:,}") for one in letters], rank=2, right=True),
            Column("why", [plain(one.reason) for one in letters], least=WHY),
        ]
    )


def retried_as_json(retried: Retried) -> dict[str, Any]:
    """How many are stored, of which data sets how many are asked for again, and by which runs."""
    return {"stored": retried.stored, "asked": retried.asked, "runs": [str(run.id) for run in retried.runs]}


def retried(done: Retried) -> Group:
    """What was done at once, and what is under way."""
    lines = [f"{done.stored:,} stored from what was kept"] * bool(done.stored)
    lines += [f"{count:,} of {name} to be asked for again" for name, count in done.asked.items()]
    lines += [f"run {str(run.id)[:8]} of {run.dataset} asks for them" for run in done.runs if run not in done.joined]
    lines += [
        f"run {str(run.id)[:8]} of {run.dataset} is under way: what it is past, the next one asks for"
        for run in done.joined
    ]
    following = f"tail {str(done.runs[0].id)[:8]}" if done.runs else "failed"
    told = map(plain, lines or ["There was nothing to be tried again."])
    return Group(*told, Text(f"\nNext: celeryctl {following}", "dim"))
