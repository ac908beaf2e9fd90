import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from celeryctl.views import runs, stats, users

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "[red]x[/] [/oops] \x1b]0;owned\x07\x1b[2J"
WIDTHS = (40, 80, 120)
PARTS = ("datasets", "queues", "workers", "sources")


def shown(renderable: Any, width: int = 120) -> str:
    """What a terminal of that width gets, without styles."""
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False, emoji=False, color_system=None).print(renderable)
    return out.getvalue()


def document(**changes: Any) -> dict[str, Any]:
    last = {"status": "succeeded", "at": NOW - timedelta(hours=2)}
    one = {"name": "users", "rows": 750, "missing": 250, "stale": 1, "quarantined": 2, "last_run": last,
           "next_due": NOW + timedelta(minutes=5)}  # fmt: skip
    worker = {"name": "w@h", "alive": True, "active": 1, "concurrency": 4, "heartbeat_age_seconds": 1.0,
              "rss_bytes": 2**26}  # fmt: skip
    return {
        "at": NOW,
        "datasets": [one],
        "queues": [{"name": "celery", "waiting": 3, "unacked": 1, "oldest_seconds": 9.0}],
        "workers": [worker],
        "sources": [{"name": "users", "state": "failing", "last_ok": None}],
        "problems": [],
    } | changes


def ended(**changes: Any) -> Any:
    run = {"id": "0123456789", "dataset": "users", "trigger": "command", "status": "failed", "created": 1, "updated": 2,
           "unchanged": 3, "rejected": 4, "absent": 0, "requests": 5, "retries": 0, "started_at": NOW,
           "finished_at": NOW + timedelta(seconds=1.5), "error": None}  # fmt: skip
    return SimpleNamespace(**(run | changes))


def user(**changes: Any) -> dict[str, Any]:
    empty = dict.fromkeys(users.COLUMNS) | {"id": 1, "external_id": 7, "created_at": NOW}
    return empty | {"addresses": [{"id": 1, "user_id": 1, "city": "Gwenborough"}], "credit_cards": []} | changes


def test_stats_show_coverage_schedule_and_cluster() -> None:
    told = shown(stats.render(document()))
    for part in ("75 %", "250", "succeeded", "2 h ago", "in 5 min", "3 waiting, 1 in work, oldest 9 s", "w@h  1/4 busy",
                 "64 MiB", "users failing", "Next: celeryctl fetch all"):  # fmt: skip
        assert part in told


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_stats_say_which_part_is_not_reachable(part: str, width: int) -> None:
    told = shown(stats.render(document(**{part: None}, problems=["gone"])), width)
    assert told.count("not reachable") == 1
    assert "! gone" in told


def test_a_silent_worker_and_none_at_all_are_told() -> None:
    silent = document()["workers"][0] | {"alive": False, "heartbeat_age_seconds": 90.0}
    assert "w@h  silent for 90 s" in shown(stats.render(document(workers=[silent])))
    told = shown(stats.render(document(workers=[])))
    assert "none" in told
    assert "celeryctl worker" in told


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
        stats.render(document(problems=[EVIL])),
        stats.render(document(workers=[document()["workers"][0] | {"name": EVIL}])),
    ],
    ids=["card", "table", "run", "problem", "worker"],
)
def test_markup_and_control_characters_are_shown_as_text(renderable: Any, width: int) -> None:
    told = shown(renderable, width)
    assert "\x1b" not in told
    assert "\x07" not in told
    assert "[red]" in told
