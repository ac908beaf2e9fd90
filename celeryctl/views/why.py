"""A verdict, as text and as JSON."""

from typing import Any

from rich.console import Group
from rich.text import Text

from celeryctl.logs import one_line
from celeryctl.verdicts.verdict import Verdict

GOOD, BAD = ("succeeded", "complete", "in work"), ("failed", "stuck", "lost", "orphaned")


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The public form."""
    return {
        "subject": verdict.subject,
        "state": verdict.state,
        "because": list(verdict.because),
        "next": verdict.next,
    }


def render(verdict: Verdict) -> Group:
    """The verdict, its reasons, the next command."""
    style = "green" if verdict.state in GOOD else "red" if verdict.state in BAD else "yellow"
    head = Text.assemble(f"{one_line(verdict.subject)}: ", (one_line(verdict.state), f"bold {style}"))
    reasons = (Text(f"  {one_line(reason)}") for reason in verdict.because)
    return Group(head, *reasons, Text(f"\nNext: {one_line(verdict.next)}", "dim"))
