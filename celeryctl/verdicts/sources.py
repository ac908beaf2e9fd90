"""Why a source is not asked at this moment."""

from celeryctl.ages import until
from celeryctl.errors import CeleryctlError
from celeryctl.http import RateBudget
from celeryctl.pipeline.context import Context
from celeryctl.storage import coverage, sources
from celeryctl.storage.database import session


def left_alone(dataset: str) -> str:
    """For how long the schedule leaves the source alone, and why; empty where it does not."""
    with session():
        found, now = sources.state(dataset), coverage.clock()
    if found is None or found.asks_again_at is None or found.asks_again_at <= now:
        return ""
    again = until(found.asks_again_at, now)
    count = "1 run has" if found.failures == 1 else f"{found.failures:,} runs in a row have"
    return f"The schedule asks its source again {again}, as {count} failed; a fetch asks at once."


def held_back(context: Context, dataset: str) -> str:
    """Why the source may not be asked at this moment; empty where it may."""
    if not context.settings.redis_url:
        return ""
    try:
        budget = RateBudget.from_settings(context.settings)
        pause, remaining = budget.paused_for(dataset), budget.remaining(dataset)
    except CeleryctlError:
        return ""
    if pause:
        return f"The source of {dataset} has asked for a pause, which lasts {pause:.0f} s more."
    limit = context.settings.sources[dataset].rate_limit
    return f"The rate budget of {dataset} ({limit}) is used up at the moment." if remaining == 0 else ""
