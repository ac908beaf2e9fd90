"""The stats screen: what it says, and that it fits whatever terminal there is."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from celeryctl import ages
from celeryctl.views.stats import Status, render
from celeryctl.views.stats.advice import advice

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVIL = "[red]x[/] [/oops] \x1b]0;owned\x07\x1b[2J\n\t"
PARTS = ("datasets", "queues", "workers", "sources", "runs")
STATUS = Status(foot="q quit  ? keys", note="12:00:00, every 1 s")


def dataset(name: str = "users", **changes: Any) -> dict[str, Any]:
    last = {"id": "11111111-2222", "status": "succeeded", "at": NOW - timedelta(hours=2)}
    return {"name": name, "rows": 750, "missing": 250, "stale": 1, "quarantined": 2, "absent": 0, "paused": False,
            "last_run": last, "next_due": NOW + timedelta(minutes=5), "every_seconds": 300.0} | changes  # fmt: skip


def worker(name: str = "w@h", **changes: Any) -> dict[str, Any]:
    return {"name": name, "alive": True, "active": 1, "concurrency": 4, "heartbeat_age_seconds": 1.0,
            "rss_bytes": 2**26, "skew_seconds": 0.0} | changes  # fmt: skip


def beat(name: str = "beat1@h", **changes: Any) -> dict[str, Any]:
    return {"name": name, "alive": True, "active": True, "heartbeat_age_seconds": 2.0} | changes


def source(name: str = "users", **changes: Any) -> dict[str, Any]:
    return {"name": name, "state": "ok", "last_ok": NOW - timedelta(seconds=9), "error": None,
            "latency_seconds": 0.12, "budget": None} | changes  # fmt: skip


def run(**changes: Any) -> dict[str, Any]:
    return {"id": "11111111-2222", "dataset": "users", "trigger": "command", "status": "succeeded", "created": 1,
            "updated": 2, "unchanged": 3, "rejected": 4, "absent": 0, "requests": 5, "retries": 0, "expected": 10,
            "done": 10, "started_at": NOW - timedelta(hours=2), "finished_at": NOW, "seconds": 1.5,
            "error": None} | changes  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    return {
        "at": NOW,
        "database": "postgresql://postgres:****@127.0.0.1:5432/celeryctl_local",
        "datasets": [dataset()],
        "queues": [{"name": "celery", "waiting": 3, "unacked": 1, "oldest_seconds": 9.0}],
        "workers": [worker()],
        "beats": [beat(), beat("beat2@h", active=False)],
        "sources": [source()],
        "runs": [run()],
        "throughput": {"bucket_seconds": 10, "rows": [0] * 26 + [300, 600, 900, 100]},
        "problems": [],
    } | changes


def lines(shown: Text) -> list[str]:
    return [line.plain for line in shown.split("\n", allow_blank=True)]


def told(*args: Any, **more: Any) -> str:
    return render(*args, **more).plain


def test_everything_that_the_cluster_does_is_told() -> None:
    shown = told(document(), 120)
    for part in ("celeryctl_local on 127.0.0.1, made-up records", "75 %", "750", "250", "succeeded", "2 h ago",
                 "in 5 min", "3 waiting, 1 in work, oldest 9 s", "60 rows/s", "w@h", "1/4", "64 MiB", "beat1@h",
                 "active", "stands by", "120 ms", "9 s", "11111111", "Next: celeryctl fetch all"):  # fmt: skip
        assert part in shown, part


def test_there_are_two_columns_from_a_hundred_characters_on() -> None:
    assert any(("users" in line and "queue" in line) or ("coverage" in line and "queue" in line)
               for line in lines(render(document(), 100)))  # fmt: skip
    assert not any("coverage" in line and "queue" in line for line in lines(render(document(), 99)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_part_that_is_not_reachable_says_so(part: str, width: int) -> None:
    shown = told(document(**{part: None}, problems=["gone"]), width)
    assert shown.count("not reachable") == 1 + (part == "datasets")  # coverage and schedule come from the same
    assert "! gone" in shown


def test_the_more_important_stays_when_there_is_little_room() -> None:
    full = document(runs=[run() for _ in range(10)], sources=[source() for _ in range(3)])
    for height in range(6, 40):
        shown = told(full, 80, height, status=STATUS)
        assert "coverage" in shown
        assert "Next: celeryctl" in shown
        assert ("source " not in shown) or ("queue" in shown and "run " in shown)
    assert "more" in told(full, 80, 20, status=STATUS)
    assert "more" not in told(full, 80, 60, status=STATUS)


def test_a_list_that_is_cut_says_how_much_is_hidden() -> None:
    shown = lines(render(document(workers=[worker(f"w{n}@h") for n in range(30)]), 80, 24, status=STATUS))
    visible = sum("@h" in line and line.startswith("w") for line in shown)
    hidden = sum(int(line.split()[0]) for line in shown if line.startswith("+") and "more" in line)
    assert 0 < visible < 30
    assert visible + hidden >= 30


def test_in_ascii_no_other_character_is_drawn() -> None:
    shown = told(document(), 120, ascii_only=True)
    assert shown.isascii()
    assert "#########---" in shown


def test_with_everything_there_the_bar_is_full_and_only_then_it_says_100() -> None:
    assert "100 %" in told(document(datasets=[dataset(missing=0)]), 80)
    almost = told(document(datasets=[dataset(rows=999_999, missing=1)]), 80)
    assert "99 %" in almost
    assert "███████████░" in almost


def test_what_only_a_scan_would_tell_is_a_question_mark() -> None:
    assert "?" in told(document(datasets=[dataset(missing=None, stale=None)]), 120)


def test_before_anything_is_known_it_says_what_it_waits_for() -> None:
    shown = lines(render(None, 80, 24, status=STATUS))
    assert len(shown) == 24
    assert "asking database and broker" in shown[1]
    assert "q quit" in shown[-1]


def test_the_keys_take_the_last_line_when_they_are_asked_for() -> None:
    shown = lines(render(document(), 40, 20, status=Status(foot="q quit p pause + slower - faster ? hide", helps=True)))
    assert shown[-1] == "q quit p pause + slower - faster ? hide"


def test_a_budget_is_shown_where_there_is_one() -> None:
    assert "budget" not in told(document(), 120)
    limited = source(budget={"limit": "10/s", "remaining": 7})
    assert "7 of 10/s" in told(document(sources=[limited]), 120)


def test_of_a_source_that_is_left_alone_it_is_told_for_how_long_before_why() -> None:
    alone = source(state="cooling", error="503 " * 30, asks_again_at=NOW + timedelta(seconds=42))
    shown = told(document(sources=[alone]), 60)
    assert "cooling" in shown
    assert "users: asked again in 5 min; 503" in shown  # no sooner than it is due anyway
    assert "asked again" not in told(document(sources=[alone], datasets=[dataset(paused=True, next_due=None)]), 60)
    assert "users: 503" in told(document(sources=[alone], datasets=None), 60)


def test_retries_are_shown_where_there_were_some() -> None:
    assert "retries" not in told(document(), 120)
    shown = lines(render(document(runs=[run(retries=7777), run()]), 120))
    assert any("retries" in line for line in shown)
    assert any("7,777" in line for line in shown)


def test_a_run_under_way_shows_how_far_it_is() -> None:
    under_way = run(status="running", done=450, expected=1000, finished_at=None, seconds=None)
    one = dataset(last_run={"id": "11111111-2222", "status": "running", "at": NOW})
    assert "running 45 %" in told(document(runs=[under_way], datasets=[one]), 120)


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"datasets": None, "database": None}, "up"),
        ({"datasets": None}, "doctor"),
        ({"queues": None}, "doctor"),
        ({"queues": None, "workers": []}, "up"),
        ({"workers": []}, "worker"),
        ({"workers": [worker(alive=False)]}, "worker"),
        ({"sources": [source(state="failing", error="503")]}, "doctor"),
        ({"sources": [source(state="cooling", error="503", asks_again_at=NOW)]}, "doctor"),
        ({"runs": [run(status="failed")]}, "why 11111111"),
        ({"runs": [run(status="failed", id="old")]}, "fetch all"),
        ({"beats": []}, "beat"),
        ({"beats": [beat(active=False)]}, "beat"),
        ({"datasets": [dataset("credit_cards", paused=True, next_due=None)]}, "schedule resume credit-cards"),
        ({"runs": [run(status="running", id="new")]}, "tail"),
        ({}, "fetch all"),
        ({"datasets": [dataset("credit_cards", missing=0, quarantined=2)]}, "failed credit-cards"),
        ({"datasets": [dataset(missing=0, quarantined=0)]}, "users list"),
    ],
)
def test_the_next_command_is_the_one_that_helps_most(changes: dict[str, Any], command: str) -> None:
    assert advice(document(**changes)) == command


names = st.sampled_from(["users", "a" * 90, "\u4f60\u597d" * 20, EVIL, ""])
numbers = st.sampled_from([0, 7, 10**9, 10**18])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents as no cluster should make them."""
    last = st.sampled_from([None, {"id": "x", "status": "running", "at": NOW}])
    found = document(
        datasets=[
            dataset(draw(names), rows=draw(numbers), missing=draw(st.none() | numbers), last_run=draw(last))
            for _ in range(draw(st.integers(0, 12)))
        ],
        workers=[worker(draw(names), alive=draw(st.booleans())) for _ in range(draw(st.integers(0, 30)))],
        sources=[source(draw(names), error=draw(names)) for _ in range(draw(st.integers(0, 5)))],
        runs=[run(dataset=draw(names), created=draw(numbers), expected=draw(st.none() | numbers)) for _ in range(4)],
        problems=draw(st.lists(names, max_size=3)),
        throughput={"bucket_seconds": 10, "rows": draw(st.lists(numbers, max_size=40))},
    )
    away = draw(st.sets(st.sampled_from((*PARTS, "beats", "throughput"))))
    return found | dict.fromkeys(away)


@given(documents(), st.integers(1, 200), st.integers(1, 60), st.booleans(), st.booleans())
def test_no_line_is_too_wide_and_there_are_not_too_many(
    found: dict[str, Any], width: int, height: int, watched: bool, ascii_only: bool
) -> None:
    shown = render(found, width, height, status=STATUS if watched else None, ascii_only=ascii_only)
    parts = shown.split("\n", allow_blank=True)
    assert len(parts) <= height
    assert all(part.cell_len <= width for part in parts)
    assert all(part.plain.isprintable() for part in parts)
    out = io.StringIO()
    Console(file=out, width=width, height=height, color_system=None).print(shown)
    assert len(out.getvalue().splitlines()) <= height


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86_400 * 3, "3 d")],
)
def test_ages_are_told_in_one_unit(seconds: float, shown: str) -> None:
    assert ages.span(seconds) == shown
    assert ages.ago(NOW, NOW + timedelta(seconds=seconds)) == f"{shown} ago"


def test_what_is_due_is_due_now() -> None:
    assert ages.until(NOW, NOW) == "now"
    assert ages.until(NOW + timedelta(minutes=2), NOW) == "in 2 min"


def test_ages_go_on_between_two_documents() -> None:
    later = told(document(), 120, now=NOW + timedelta(minutes=2))
    assert "in 3 min" in later
    assert "in 5 min" not in later
    assert later.count("  2 min") == 4  # since a worker, two beats and a source were heard


def test_a_long_worker_name_leaves_room_for_what_it_does() -> None:
    name = "worker1@ip-10-0-12-34.eu-central-1.compute.internal"
    shown = told(document(workers=[worker(name)]), 120, 40, status=STATUS)
    assert "worker1@ip-1" in shown
    assert "1/4" in shown
    assert "64 MiB" in shown


def test_of_two_counts_the_one_that_holds_something_stays() -> None:
    kinds = {"stale": "quarantined", "quarantined": "stale"}
    for kept, left_out in kinds.items():
        shown = told(document(datasets=[dataset("credit_cards", **{kept: 3, left_out: 0})]), 60)
        assert kept in shown
        assert left_out not in shown


@pytest.mark.parametrize("width", [40, 30])
def test_that_it_stands_still_is_told_before_where_it_comes_from(width: int) -> None:
    paused = Status(foot="q quit  ? keys", note="paused, p goes on", warns=True)
    assert lines(render(document(), width, 20, status=paused))[0].endswith("paused, p goes on")


def test_what_is_old_says_how_old_and_what_brings_it_back() -> None:
    status = Status(foot="", note="", old={"queues": 40.0})
    shown = told(document(problems=["the broker does not answer"], workers=[]), 80, status=status)
    assert "3 waiting, 1 in work, oldest 9 s  40 s ago" in shown
    assert shown.endswith("Next: celeryctl up")
    assert advice(document(), {"queues": 40.0}) == "doctor"


def test_a_clock_that_is_off_is_told() -> None:
    assert "+90 s" in told(document(workers=[worker(skew_seconds=90.0)]), 120)
    assert "clock" not in told(document(workers=[worker(skew_seconds=0.4)]), 120)


def test_why_the_newest_run_went_wrong_stands_below_it() -> None:
    shown = lines(render(document(runs=[run(status="failed", error="503 from h"), run()]), 80))
    place = next(number for number, line in enumerate(shown) if "failed" in line)
    assert shown[place + 1].strip() == "503 from h"


def test_in_ascii_nothing_else_is_left() -> None:
    names = [dataset("\u4f60\u597d" * 30), dataset("users")]
    shown = render(document(datasets=names), 80, 40, status=STATUS, ascii_only=True).plain
    assert shown.isascii()
    assert "#########---" in shown
    usual = render(document(datasets=names), 80, 40, status=STATUS)
    assert [len(line) for line in shown.split("\n")] == [line.cell_len for line in usual.split("\n", allow_blank=True)]
