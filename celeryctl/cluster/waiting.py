"""Waiting until the cluster is in a certain state."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from celeryctl import threads
from celeryctl.cluster.overview import Collector
from celeryctl.errors import WaitTimeoutError
from celeryctl.pipeline.conditions import MISSING, Parsed, Values


def values(document: Mapping[str, Any]) -> Values:
    """What conditions look at, from the document of the stats. None where it cannot be told."""
    queues, datasets, workers = document["queues"], document["datasets"], document["workers"]
    missing = {f"{MISSING}{one['name']}": one["missing"] for one in datasets or ()}
    return {
        "queue": None if queues is None else sum(queue["waiting"] for queue in queues),
        "unacked": None if queues is None else sum(queue["unacked"] for queue in queues),
        "running": None if datasets is None else _with_status(datasets, "running"),
        "failed": None if datasets is None else _with_status(datasets, "failed"),
        "quarantined": None if datasets is None else sum(one["quarantined"] for one in datasets),
        "workers": None if workers is None else sum(worker["alive"] for worker in workers),
        **missing,
    }


def told(found: Values) -> str:
    """The values in words."""
    return ", ".join(f"{name} is {'not known' if value is None else value}" for name, value in found.items())


def _with_status(datasets: list[dict[str, Any]], status: str) -> int:
    """How many data sets' newest run has this status; only the newest can be running."""
    return sum(one["last_run"] is not None and one["last_run"]["status"] == status for one in datasets)


def wait_for(
    condition: Parsed, *, timeout: float | None, every: float, away: Callable[[tuple[str, ...], bool], None]
) -> Values:
    """Look again and again until it holds. Returns the values that it looked at.

    ``away`` gets the problems of every look that has some, and whether the database is among them; once an empty tuple
    when they are over. Raises WaitTimeoutError, with the last values.
    """
    collector, known = Collector(), False
    found: Values = {}
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while (document := _look(collector, deadline)) is not None:
        if (problems := tuple(document["problems"])) or known:
            known = bool(problems)
            away(problems, document["datasets"] is None)
        found = {name: values(document).get(name) for name in condition.fields}
        if condition.holds(found):
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(every, left))
    why = told(found) or "a server neither answers nor refuses to"
    raise WaitTimeoutError("it does not hold in time", why=why, fix="celeryctl stats")


def _look(collector: Collector, deadline: float) -> Mapping[str, Any] | None:
    """What the cluster is like; None when that is not known by the deadline, as a server is silent."""
    left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
    try:
        return threads.start(collector.collect).result(left)
    except TimeoutError:
        return None
