import io
import json
from typing import Any

import pytest
from rich.console import Console

from celeryctl.checks.check import Check, Finding, Result
from celeryctl.views import doctor

pytestmark = pytest.mark.unit

EVIL = "[red]x[/] [/oops] \x1b]0;owned\x07\x1b[2J"
MARKS = {"ok": "ok", "warning": "warn", "failed": "FAIL", "unreachable": "away", "skipped": "skip"}


def finding(state: Any, *, section: Any = "Machine", remedy: Any = None, **more: str) -> Finding:
    result = Result(state, **more)
    return Finding(Check(name=f"the {state} one", section=section, run=lambda: result, remedy=remedy), result)


def shown(*report: Finding, width: int = 120, **options: bool) -> list[str]:
    """The lines that a terminal of that width gets, without styles."""
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False, color_system=None)
    console.print(doctor.render(report, **options))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("state", MARKS)
def test_every_state_has_a_mark_of_ascii_and_a_count(state: str) -> None:
    lines = shown(finding(state, why="because", fix="do it"))
    assert f"{MARKS[state]:<4}  the {state} one" in lines[1]
    assert lines[-2] == f"1 {doctor.WORDS[state]}"  # type: ignore[index]
    assert "".join(lines).isascii()


def test_what_is_wrong_says_why_and_what_mends_it_below() -> None:
    assert shown(finding("failed", why="because", fix="celeryctl init-db", fixed="tried"))[:5] == [
        "Machine",
        "FAIL  the failed one",
        "      because",
        "      fix: celeryctl init-db",
        "      done: tried",
    ]


def test_what_is_well_or_skipped_takes_one_line() -> None:
    lines = shown(finding("ok", why="18.4"), finding("skipped", why="needs: database"))
    assert lines[:3] == ["Machine", "ok    the ok one  18.4", "skip  the skipped one  needs: database"]


def test_several_are_counted_in_the_plural() -> None:
    assert shown(finding("warning"), finding("warning"), finding("ok"))[-2] == "1 ok, 2 warnings"


def test_sections_are_headings_in_their_order() -> None:
    lines = shown(finding("ok", section="Settings"), finding("ok", section="Settings"), finding("ok", section="Broker"))
    assert [line for line in lines if line in ("Settings", "Broker")] == ["Settings", "Broker"]


def test_brief_leaves_out_what_is_well_but_not_what_was_mended() -> None:
    told = "\n".join(shown(finding("ok"), finding("skipped"), finding("failed"), brief=True))
    assert "the ok one" not in told
    assert "the skipped one" not in told
    assert "the failed one" in told
    assert "done: chmod" in "\n".join(shown(finding("ok", fixed="chmod"), brief=True))


@pytest.mark.parametrize(
    ("report", "treated", "following"),
    [
        ([finding("ok")], False, "celeryctl stats"),
        ([finding("warning", remedy=str)], False, "celeryctl doctor --fix"),
        ([finding("failed", remedy=str)], True, "celeryctl doctor    (once mended)"),
        ([finding("failed")], False, "celeryctl doctor    (once mended)"),
        ([finding("unreachable", remedy=str)], False, "celeryctl doctor    (once mended)"),
    ],
)
def test_the_next_useful_command_comes_last(report: list[Finding], treated: bool, following: str) -> None:
    assert shown(*report, treated=treated)[-1] == f"Next: {following}"


def test_forty_columns_are_enough_and_what_goes_on_is_indented() -> None:
    lines = shown(finding("failed", why="word " * 30, fix="celeryctl " * 9), width=40)
    assert max(map(len, lines)) <= 40
    assert all(line.startswith("      ") for line in lines[2:-3])


def test_markup_and_control_characters_are_shown_as_text() -> None:
    told = "".join(shown(finding("failed", why=EVIL, fix=EVIL, fixed=EVIL), finding("ok", why=EVIL)))
    assert "\x1b" not in told
    assert "\x07" not in told
    assert told.count("[red]x[/] [/oops]") == 4


def test_the_document_holds_every_check_and_the_exit_code() -> None:
    found = doctor.as_json([finding("ok"), finding("unreachable", why="because", fix="do it")])
    assert json.loads(json.dumps(found)) == {
        "checks": [
            {"section": "Machine", "name": "the ok one", "state": "ok", "why": None, "fix": None, "fixed": None},
            {"section": "Machine", "name": "the unreachable one", "state": "unreachable", "why": "because",
             "fix": "do it", "fixed": None},
        ],
        "counts": {"ok": 1, "warning": 0, "failed": 0, "unreachable": 1, "skipped": 0},
        "exit_code": 69,
    }  # fmt: skip
