"""When each data set is due: its interval after the last run of the whole data set began. PostgreSQL remembers."""

from datetime import UTC, datetime, timedelta

from celeryctl.storage import coverage


def next_due(dataset: str, every: timedelta) -> datetime:
    """When the data set is to be fetched next; in the past when that was missed."""
    return due(coverage.last_scheduled(dataset), every, coverage.clock())


def due(last: datetime | None, every: timedelta, now: datetime) -> datetime:
    """When a data set is due whose last whole run began then.

    Where it has never run, the beginning of the current interval, so that several beats name the same slot.
    """
    if last is not None:
        return last + every
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
