"""Everything that `stats` shows: the database's part, the broker's part, and what could not be had."""

from typing import Any

from celeryctl.cluster.queues import QUEUE, depth
from celeryctl.errors import CeleryctlError
from celeryctl.services import StatsService, context, reading
from celeryctl.storage import coverage

TOTALS = ("total_users", "total_addresses", "total_credit_cards", "users_with_addresses", "users_with_credit_cards")
FROM_DATABASE = (*TOTALS, "users_with_both", "coverage_stats", "datasets", "workers", "sources", "at")


def collect() -> dict[str, Any]:
    """The document of ``stats --json``. Parts whose service is away are None, with the reason in ``problems``."""
    problems: list[str] = []
    document: dict[str, Any] = dict.fromkeys((*FROM_DATABASE, "queues"))
    oldest = 0.0
    try:
        with reading():
            document |= StatsService.get_comprehensive_stats()
            document |= {"at": coverage.clock(), "workers": coverage.workers(), "sources": _sources()}
            oldest = coverage.oldest_waiting()
    except CeleryctlError as exc:
        problems.append(str(exc))
    try:
        waiting, unacked = depth(context().settings)
        document["queues"] = [{"name": QUEUE, "waiting": waiting, "unacked": unacked, "oldest_seconds": oldest}]
    except CeleryctlError as exc:
        problems.append(str(exc))
    return document | {"problems": problems}


def _sources() -> list[dict[str, Any]]:
    """How every source answered last: ``ok``, ``failing``, or ``unknown`` when it was never asked."""
    known = coverage.sources()
    found = []
    for name in context().settings.sources:
        state = known.get(name)
        word = "unknown" if state is None else "failing" if state.error else "ok"
        found.append({"name": name, "state": word, "last_ok": state and state.last_ok})
    return found
