"""What the metrics page serves, as the dashboard and the alerts are held against it."""

import re
from collections.abc import Iterator
from pathlib import Path

PAGE = (Path(__file__).parent / "page.txt").read_text()
FAMILIES: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", PAGE, re.MULTILINE))
STEP, STEPS = 15, 300  # seconds between two samples, and how many of them


def families(query: str) -> set[str]:
    """The metrics that a query names. A histogram's parts count as the histogram."""
    named = set(re.findall(r"\b(?:celeryctl|celery)_\w+", query))
    return {name if name in FAMILIES else re.sub(r"_(bucket|count|sum)$", "", name) for name in named}


def history(until: int) -> str:
    """The page as OpenMetrics text with many samples, the last one at ``until``: counters and histograms grow."""
    return "\n".join([*_history(until), "# EOF\n"])


def _history(until: int) -> Iterator[str]:
    growing = False
    for line in PAGE.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            growing = kind != "gauge"
            yield f"# TYPE {name.removesuffix('_total') if kind == 'counter' else name} {kind}"
        elif not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            for step in range(STEPS):
                then = float(value) * (1 + step / STEPS if growing else 1)
                yield f"{series} {then} {until - STEP * (STEPS - 1 - step)}"
