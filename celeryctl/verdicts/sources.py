"""Why a source is not asked at this moment."""

from celeryctl.ages import until
from celeryctl.errors import CeleryctlError
from celeryctl.http import RateBudget
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.schedule import next_due
from celeryctl.storage import coverage, pause, sources
from celeryctl.storage.database import session
from celeryctl.storage.sources import PATIENCE


def cooling(context: Context, dataset: str) -> str:
    """When the schedule asks a source again that it leaves alone, and why it does; empty where it does not."""
    with session():
        found, now = sources.state(dataset), coverage.clock()
        due = next_due(dataset, context.settings.sources[dataset].every)
    if found is None or found.asks_again_at is None or found.asks_again_at <= now or dataset in pause.paused():
        return ""
    why = f"{found.failures:,} runs in a row have failed" if found.failures >= PATIENCE else "it has asked for a pause"
    return f"The schedule asks its source again {until(due, now)}, as {why}; a fetch does not wait for that."


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
