"""What `doctor` found: a line for every check, and below it why and what to do where it is not well."""

from collections import Counter
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from celeryctl.checks.check import Finding, Report, State, exit_code
from celeryctl.views.users import plain

MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warn", "yellow"),
    "failed": ("FAIL", "bold red"),
    "unreachable": ("away", "red"),
    "skipped": ("skip", "dim"),
}
WORDS: dict[State, str] = {
    "ok": "ok",
    "warning": "warning",
    "failed": "failed",
    "unreachable": "away",
    "skipped": "skipped",
}
QUIET: tuple[State, ...] = ("ok", "skipped")


def as_json(report: Report) -> dict[str, Any]:
    """Every check with its state, and how many there are of each state."""
    found = [
        {
            "section": one.check.section,
            "name": one.check.name,
            "state": one.result.state,
            "why": one.result.why or None,
            "fix": one.result.fix or None,
            "fixed": one.result.fixed or None,
        }
        for one in report
    ]
    return {"checks": found, "counts": _counts(report), "exit_code": exit_code(report)}


def render(report: Report, *, brief: bool = False, treated: bool = False) -> Group:
    """Section by section; ``brief`` leaves out what is well. ``treated``: what can be mended by itself, was."""
    parts: list[RenderableType] = []
    shown = [one for one in report if not brief or one.result.state not in QUIET or one.result.fixed]
    for section, findings in groupby(shown, key=lambda one: one.check.section):
        parts += [Text(section, "bold"), *(part for one in findings for part in _lines(one)), Text()]
    told = ", ".join(_counted(count, WORDS[state]) for state, count in _counts(report).items() if count)
    return Group(*parts, Text(told), Text(f"Next: {_next(report, treated=treated)}", "dim"))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}s" if word == "warning" and count > 1 else f"{count} {word}"


def _next(report: Report, *, treated: bool) -> str:
    wrong = [one for one in report if one.result.state not in QUIET]
    if not wrong:
        return "celeryctl stats"
    mendable = any(one.check.remedy and one.result.state != "unreachable" for one in wrong)
    return "celeryctl doctor --fix" if mendable and not treated else "celeryctl doctor    (once mended)"


def _counts(report: Report) -> dict[State, int]:
    counted = Counter(one.result.state for one in report)
    return {state: counted[state] for state in MARKS}


def _lines(finding: Finding) -> list[RenderableType]:
    result, (mark, style) = finding.result, MARKS[finding.result.state]
    quiet = result.state in QUIET
    head = Text(finding.check.name, "dim" if result.state == "skipped" else "")
    if quiet and result.why:
        head.append_text(plain(f"  {result.why}", "dim"))
    lines: list[RenderableType] = [_line(Text(mark, style), head)]
    if result.why and not quiet:
        lines.append(_line(Text(), plain(result.why)))
    if result.fix:
        lines.append(_line(Text(), Text.assemble(("fix: ", "bold"), plain(result.fix))))
    if result.fixed:
        lines.append(_line(Text(), Text.assemble(("done: ", "bold green"), plain(result.fixed))))
    return lines


def _line(mark: Text, text: Text) -> Table:
    """What does not fit goes on below the text, not below the mark."""
    line = Table.grid(padding=(0, 2))
    line.add_column(width=4)
    line.add_column(overflow="fold")
    line.add_row(mark, text)
    return line
