"""When each data set is due: its interval after the last run of the whole data set began. PostgreSQL remembers.

Where its source is left alone, not before that is over.
"""

from datetime import UTC, datetime, timedelta

from celeryctl.storage import coverage, sources


def next_due(dataset: str, every: timedelta) -> datetime:
    """When the data set is to be fetched next; in the past when that was missed."""
    return due(coverage.last_scheduled(dataset), every, coverage.clock(), sources.asks_again_at(dataset))


def due(last: datetime | None, every: timedelta, now: datetime, asks_again_at: datetime | None = None) -> datetime:
    """When a data set is due whose last whole run began then, and whose source is left alone until ``asks_again_at``.

    Where it has never run, the beginning of the current interval, so that several beats name the same slot.
    """
    if last is not None:
        regular = last + every
    else:
        seconds = every.total_seconds()
        regular = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    return max(regular, asks_again_at or regular)
