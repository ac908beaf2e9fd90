"""Times as people read them."""

from datetime import date, datetime

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A length of time in one unit: ``45 s``, ``3 min``, ``2 h``, ``4 d``."""
    whole = max(0, int(seconds))
    for size, unit in UNITS:
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago that was."""
    return f"{span((now - moment).total_seconds())} ago"


def until(moment: datetime, now: datetime) -> str:
    """How long it is until then; ``now`` when it has come."""
    return "now" if moment <= now else f"in {span((moment - now).total_seconds())}"


def is_day(text: str) -> bool:
    """Whether that is a day of the calendar, as ISO 8601 writes it."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
