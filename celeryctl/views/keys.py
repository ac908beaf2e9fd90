"""Keys for card numbers, by their ids."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from celeryctl.pipeline.keys import KeyState, Rotated
from celeryctl.views.grid import Column, Grid
from celeryctl.views.users import plain

STYLES = {"encrypts": "green", "decrypts": "", "missing": "red", "foreign": "red"}


def as_json(states: Sequence[KeyState]) -> list[dict[str, Any]]:
    """Every key; ``values`` are counts by table."""
    return [{"id": one.id, "use": one.use, "values": dict(one.values)} for one in states]


def table(states: Sequence[KeyState], database: str) -> Group:
    """One line for every key, and the command that helps most. ``database`` is whose values are counted."""
    tables = list(states[0].values) if states else []
    columns = [
        Column("key", [plain(one.id or "none") for one in states]),
        Column("use", [Text(one.use, STYLES[one.use]) for one in states]),
        *(Column(name, [Text(f"{one.values[name]:,}") for one in states], right=True) for name in tables),
    ]
    shown = Grid(columns) if states else Text("There is no key yet; it is made with the first card.")
    return Group(plain(database, "dim"), Text(), shown, Text(f"\nNext: celeryctl {_next(states)}", "dim"))


def _next(states: Sequence[KeyState]) -> str:
    if any(one.use == "missing" for one in states):
        return "doctor"
    old = any(one.use in {"decrypts", "foreign"} and any(one.values.values()) for one in states)
    return "keys rotate" if old else "stats"


def rotated(done: Rotated, database: str) -> str:
    """What a rotation has done in a database."""
    said = f"{done.sealed:,} values of {database} encrypted anew; "
    if done.left:
        why = "they cannot be read, or were written meanwhile with another one"
        return f"{said}{done.left:,} are not encrypted with the first key: {why}"
    return f"{said}all are encrypted with the first key"


class Progress:
    """Adds up how many rows are done and shows it."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show, self._rows = show, 0

    def add(self, rows: int) -> None:
        self._rows += rows
        self._show(f"{self._rows:,} rows")
