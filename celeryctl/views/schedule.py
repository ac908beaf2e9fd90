"""What is due when."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.text import Text

from celeryctl.ages import ago, span, until
from celeryctl.views.grid import Column, Grid
from celeryctl.views.runs import NAME, STYLES
from celeryctl.views.users import plain


def render(schedule: Sequence[Mapping[str, Any]], now: datetime) -> Group:
    """One line for every data set."""
    columns = [
        Column("data set", [plain(one["name"]) for one in schedule], least=NAME),
        Column("every", [Text(span(one["every_seconds"])) for one in schedule], rank=2),
        Column("last run", [_outcome(one["last_run"]) for one in schedule], rank=1),
        Column("", [Text(ago(last["at"], now) if (last := one["last_run"]) else "") for one in schedule], rank=3),
        Column("next", [_due(one, now) for one in schedule]),
    ]
    paused = next((one["name"].replace("_", "-") for one in schedule if one["paused"]), None)
    following = f"schedule resume {paused}" if paused else "schedule run all"
    return Group(Grid(columns), Text(f"\nNext: celeryctl {following}", "dim"))


def _outcome(last: Mapping[str, Any] | None) -> Text:
    return Text(last["status"], STYLES[last["status"]]) if last else Text("never", "dim")


def _due(one: Mapping[str, Any], now: datetime) -> Text:
    return Text("paused", "yellow") if one["paused"] else Text(until(one["next_due"], now))
