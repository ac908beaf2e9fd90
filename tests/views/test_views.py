import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from celeryctl.views import runs, schedule, users

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "[red]x[/] [/oops] \x1b]0;owned\x07\x1b[2J"
WIDTHS = (40, 80, 120)


def shown(renderable: Any, width: int = 120) -> str:
    """What a terminal of that width gets, without styles."""
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False, emoji=False, color_system=None).print(renderable)
    return out.getvalue()


def ended(**changes: Any) -> Any:
    run = {"id": "0123456789", "dataset": "users", "trigger": "command", "status": "failed", "created": 1, "updated": 2,
           "unchanged": 3, "rejected": 4, "absent": 0, "requests": 5, "retries": 0, "started_at": NOW,
           "finished_at": NOW + timedelta(seconds=1.5), "error": None}  # fmt: skip
    return SimpleNamespace(**(run | changes))


def user(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(users.COLUMNS) | {"id": 1, "external_id": 7, "created_at": NOW}
    return empty | {"addresses": [{"id": 1, "user_id": 1, "city": "Gwenborough"}], "credit_cards": []} | changes


def test_runs_show_their_counts_and_the_error_below() -> None:
    told = shown(runs.summary([ended(status="partial", error="503 from h")])).splitlines()
    assert told[1].split() == ["users", "partial", "1", "2", "3", "4", "1.5", "s", "01234567"]
    assert told[2].strip() == "users: 503 from h"
    assert runs.as_json(ended(finished_at=None, status="running"))["seconds"] is None


def test_a_user_is_shown_with_what_hangs_on_it_and_what_does_not_yet() -> None:
    told = shown(users.card(user(name="Leanne Graham")))
    for part in ("Leanne Graham  id 1, external id 7", "city: Gwenborough", "credit cards", "none yet"):
        assert part in told


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "renderable",
    [
        users.card(user(name=EVIL, addresses=[{"city": EVIL}])),
        users.table([user(name=EVIL)]),
        runs.summary([ended(status="partial", error=EVIL)]),
    ],
    ids=["card", "table", "run"],
)
def test_markup_and_control_characters_are_shown_as_text(renderable: Any, width: int) -> None:
    told = shown(renderable, width)
    assert "\x1b" not in told
    assert "\x07" not in told
    assert "[red]" in told


def planned(name: str = "credit_cards", **changes: Any) -> dict[str, Any]:
    last = {"id": "x", "status": "succeeded", "at": NOW}
    return {"name": name, "every_seconds": 900.0, "paused": False, "last_run": last, "next_due": NOW} | changes


@pytest.mark.parametrize(
    ("renderable", "kept"),
    [
        (runs.listing([ended(id="0123456789")], NOW), ["01234567", "failed"]),
        (runs.summary([ended(dataset="credit_cards", status="partial")]), ["credit_cards", "partial"]),
        (schedule.render([planned(), planned("users", paused=True, last_run=None)], NOW), ["now", "paused", "never"]),
        (users.table([user(name="Leanne Graham", email="Sincere@april.biz")]), ["Leanne Graham"]),
    ],
    ids=["runs", "summary", "schedule", "users"],
)
def test_what_matters_most_is_whole_on_a_narrow_terminal(renderable: Any, kept: list[str]) -> None:
    told = shown(renderable, 40)
    assert all(len(line.rstrip()) <= 40 for line in told.splitlines())
    for part in kept:
        assert part in told
