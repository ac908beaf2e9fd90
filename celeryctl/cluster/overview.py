"""Everything that `stats` shows: the database's part, the broker's part, and what could not be had."""

import time
from datetime import datetime
from typing import Any

from celeryctl import services
from celeryctl.cluster.queues import QUEUE, depth
from celeryctl.errors import CeleryctlError
from celeryctl.http import RateBudget
from celeryctl.services import context, reading
from celeryctl.storage.rates import BUCKET
from celeryctl.storage.snapshot import BeatLine, RunLine, Snapshot, SourceLine, WorkerLine

TOTALS = ("total_users", "total_addresses", "total_credit_cards", "users_with_addresses", "users_with_credit_cards")
OF_CLUSTER = ("datasets", "workers", "beats", "sources", "runs", "throughput")
FROM_DATABASE = ("at", "database", *TOTALS, "users_with_both", "coverage_stats", *OF_CLUSTER)
RECOUNT = 60.0  # seconds


class Collector:
    """The document of ``stats --json``, again and again, without scanning a table for it.

    Only what is stale has to be counted, which is done at the beginning and then once a minute.
    """

    def __init__(self) -> None:
        self._stale: dict[str, int] = {}
        self._counted = -RECOUNT
        self._budget: RateBudget | None = None

    def collect(self, *, exact: bool = False) -> dict[str, Any]:
        """Parts whose service is away are None, with the reason in ``problems``.

        Unless ``exact``, ``users_with_both`` is None where only a scan could tell.
        """
        problems: list[str] = []
        document: dict[str, Any] = dict.fromkeys((*FROM_DATABASE, "queues"))
        oldest = 0.0
        try:
            with reading():
                found = services.read()
                stale = self._count_stale()
            document |= services.stats_of(found, stale=stale, both=services.count_both if exact else lambda: None)
            document |= _of_cluster(found)
            oldest = round(found.open.oldest or 0.0, 1)
        except CeleryctlError as exc:
            problems.append(str(exc))
        try:
            waiting, unacked = depth(context().settings)
            document["queues"] = [{"name": QUEUE, "waiting": waiting, "unacked": unacked, "oldest_seconds": oldest}]
            self._add_budgets(document["sources"] or [])
        except CeleryctlError as exc:
            problems.append(str(exc))
        return document | {"problems": problems}

    def _count_stale(self) -> dict[str, int]:
        if time.monotonic() - self._counted >= RECOUNT:
            self._stale, self._counted = services.count_stale(), time.monotonic()
        return self._stale

    def _add_budgets(self, sources: list[dict[str, Any]]) -> None:
        settings = context().settings
        limited = {name: source.rate_limit for name, source in settings.sources.items() if source.rate_limit}
        if limited and self._budget is None:
            self._budget = RateBudget.from_settings(settings)
        for source in sources:
            if self._budget and source["name"] in limited:
                remaining = self._budget.remaining(source["name"])
                known = {"limit": limited[source["name"]], "remaining": remaining}
                source["budget"] = None if remaining is None else known


def collect() -> dict[str, Any]:
    """The document once, everything counted."""
    return Collector().collect(exact=True)


def _of_cluster(found: Snapshot) -> dict[str, Any]:
    return {
        "at": found.at,
        "database": context().database,
        "workers": [_worker(worker) for worker in found.workers or []],
        "beats": [_beat(beat) for beat in found.beats or []],
        "sources": [_source(name, found) for name in context().settings.sources],
        "runs": [_run(run) for run in found.runs or []],
        "throughput": {"bucket_seconds": BUCKET, "rows": found.throughput()},
    }


def _worker(worker: WorkerLine) -> dict[str, Any]:
    return {
        "name": worker.name,
        "alive": worker.alive,
        "active": worker.active,
        "concurrency": worker.concurrency,
        "heartbeat_age_seconds": round(worker.age, 1),
        "rss_bytes": worker.rss,
        "skew_seconds": worker.skew,
    }


def _beat(beat: BeatLine) -> dict[str, Any]:
    return {
        "name": beat.name,
        "alive": beat.alive,
        "active": beat.active,
        "heartbeat_age_seconds": round(beat.age, 1),
    }


def _source(name: str, found: Snapshot) -> dict[str, Any]:
    source = found.source(name)
    return {
        "name": name,
        "state": state_of(source, found.at),
        "last_ok": source and source.last_ok,
        "error": source and source.error,
        "failures": source.failures if source else 0,
        "asks_again_at": source and source.asks_again_at,
        "latency_seconds": source and source.latency,
        "budget": None,
    }


def state_of(source: SourceLine | None, now: datetime) -> str:
    """How a source answered last: ``ok``, ``failing``, ``cooling`` while it is left alone, ``unknown`` if never."""
    if source is None:
        return "unknown"
    if source.asks_again_at and source.asks_again_at > now:
        return "cooling"
    return "failing" if source.error else "ok"


def _run(run: RunLine) -> dict[str, Any]:
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    names = ("id", "dataset", "trigger", "status", "created", "updated", "unchanged", "rejected", "absent")
    more = ("requests", "retries", "expected", "done", "started_at", "finished_at", "error")
    return {name: getattr(run, name) for name in (*names, *more)} | {"seconds": seconds}
