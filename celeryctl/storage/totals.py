"""What was ever done for each data set, counted in the transactions that do it: nothing is lost or counted twice.

A total has a name and a label: ``rows`` by what became of them, ``requests`` by how they ended, and two histograms,
``request_seconds`` and ``run_seconds``, by the upper bounds of their buckets and with their ``sum``. Beside them stands
when a run ended last without an error, in seconds since 1970: the run itself may be pruned.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from celeryctl.storage.database import database

ROWS = ("created", "updated", "unchanged", "rejected")
REQUESTS = ("ok", "redirected", "http_error", "invalid", "timeout", "connection")
REQUEST_SECONDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "120", "+Inf")
RUN_SECONDS = ("0.1", "0.5", "1", "2.5", "5", "10", "30", "60", "120", "300", "600", "1800", "3600", "+Inf")
SUM, SUCCESS = "sum", ("success", "at")

ADD = """
INSERT INTO totals AS t (dataset, name, label, value)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::float8[])
ON CONFLICT (dataset, name, label) DO UPDATE
SET value = CASE t.name WHEN 'success' THEN greatest(t.value, excluded.value) ELSE t.value + excluded.value END
"""
Ended = Iterable[tuple[str, float]]  # how requests ended, and after how many seconds


def add(
    dataset: str,
    *,
    rows: Mapping[str, int] | None = None,
    requests: Ended = (),
    run: float | None = None,
    success: datetime | None = None,
) -> None:
    """Add rows by what became of them, requests, and the seconds of a run that is over, in one statement.

    ``success`` is when that run ended, if it did without an error.

    To be done last in a transaction: all batches of a data set need these rows, and who holds them is not to wait.
    """
    found: Counter[tuple[str, str]] = Counter()
    found.update({("rows", outcome): count for outcome, count in (rows or {}).items()})
    for outcome, seconds in requests:
        found["requests", outcome] += 1
        _observe(found, "request_seconds", REQUEST_SECONDS, seconds)
    if run is not None:
        _observe(found, "run_seconds", RUN_SECONDS, run)
    if success:
        found[SUCCESS] = success.timestamp()  # type: ignore[assignment]
    # In one order whoever adds, so that no two wait for each other; backwards, as a run's end is added by itself first.
    keys = sorted((key for key, value in found.items() if value), reverse=True)
    if keys:
        names, labels = zip(*keys, strict=True)
        database.execute_sql(ADD, (dataset, list(names), list(labels), [float(found[key]) for key in keys]))


def _observe(found: "Counter[tuple[str, str]]", name: str, bounds: Sequence[str], seconds: float) -> None:
    found[name, bounds[bisect_left(bounds, seconds, key=float)]] += 1
    found[name, SUM] += seconds  # type: ignore[assignment] # fractions, too


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a data set, by name and label."""

    values: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def success(self) -> float | None:
        """When a run ended last without an error, in seconds since 1970."""
        return self.values.get(SUCCESS)

    def counts(self, name: str, labels: Iterable[str]) -> dict[str, float]:
        """By label, 0 where nothing was counted yet."""
        return {label: self.values.get((name, label), 0.0) for label in labels}

    def buckets(self, name: str, bounds: Sequence[str]) -> list[tuple[str, float]]:
        """A histogram as Prometheus wants it: how many took no longer than each bound."""
        return list(zip(bounds, accumulate(self.counts(name, bounds).values()), strict=True))


def read() -> dict[str, Totals]:
    """Everything, by data set."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for dataset, name, label, value in database.execute_sql("SELECT dataset, name, label, value FROM totals"):
        found.setdefault(dataset, {})[name, label] = value
    return {dataset: Totals(values) for dataset, values in found.items()}
