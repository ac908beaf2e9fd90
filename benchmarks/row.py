"""A row of the table: what was measured, what was wanted, and whether it was reached."""

from dataclasses import dataclass

TIMES = "\u00d7"


class MeasureError(Exception):
    """A measure that could not be taken."""


class NotHereError(Exception):
    """A measure that this machine does not allow."""


@dataclass(frozen=True, slots=True)
class Row:
    """``number`` is the row's place in the table; ``reached`` is None where nothing was measured."""

    number: str
    what: str
    value: str
    goal: str
    aim: str
    reached: bool | None
    detail: str = ""


def at_least(
    number: str, what: str, value: float, *, goal: float, aim: float, unit: str = TIMES, detail: str = ""
) -> Row:
    """A row whose value is to be large."""
    return Row(number, what, _shown(value, unit), f"≥ {goal:g}{unit}", f"{aim:g}{unit}", value >= goal, detail)


def at_most(
    number: str, what: str, value: float, *, goal: float, aim: float, unit: str = TIMES, detail: str = ""
) -> Row:
    """A row whose value is to be small."""
    return Row(number, what, _shown(value, unit), f"≤ {goal:g}{unit}", f"{aim:g}{unit}", value <= goal, detail)


def _shown(value: float, unit: str) -> str:
    return f"{value:.1f}{unit}" if unit == " MiB" else f"{value:.3g}{unit}" if value < 1 else f"{value:.2f}{unit}"
