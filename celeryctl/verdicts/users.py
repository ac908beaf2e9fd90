"""Why a user has, or lacks, what hangs on it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from celeryctl import services
from celeryctl.ages import ago, until
from celeryctl.dataset import Dataset
from celeryctl.pipeline.context import Context
from celeryctl.pipeline.schedule import next_due
from celeryctl.pipeline.works import work_of
from celeryctl.storage import pause, runs
from celeryctl.storage.database import session
from celeryctl.storage.ledger import Miss
from celeryctl.storage.standing import Standing, standing
from celeryctl.verdicts.sources import cooling
from celeryctl.verdicts.verdict import Verdict


def of_user(context: Context, user: dict[str, object]) -> Verdict:
    """One verdict on everything that hangs on the user."""
    user_id = int(str(user["id"]))
    told = [_told(context, dataset, user_id) for dataset in context.datasets.values() if dataset.per]
    lacking = [name for name, state, _ in told if state not in ("there", "none there", "gone")]
    asked = next((name for name, state, _ in told if state in ("missing", "rejected", "stale")), "")
    return Verdict(
        subject=f"user {user_id}",
        state=f"lacks {', '.join(lacking)}" if lacking else "complete",
        because=tuple(f"{name}: {state}. {because}" for name, state, because in told),
        next=f"celeryctl fetch {asked.replace('_', '-')}" if asked else f"celeryctl users show {user_id}",
    )


def _told(context: Context, dataset: Dataset, user_id: int) -> tuple[str, str, str]:
    """Name, state, and why."""
    work = work_of(dataset, context.settings)
    found = standing(work, user_id)
    state = _state(found, work.max_age)
    return dataset.name, state, " ".join(_reasons(context, dataset.name, state, found, work.max_age))


def _state(found: Standing, max_age: timedelta | None) -> str:
    if found.miss is not None:
        return {"none": "none there"}.get(found.miss.outcome, found.miss.outcome)
    if found.fetched_at is None:
        return "missing"
    return "stale" if max_age and found.now - found.fetched_at > max_age else "there"


def _reasons(context: Context, name: str, state: str, found: Standing, max_age: timedelta | None) -> Iterator[str]:
    if found.fetched_at:
        yield f"It was confirmed {ago(found.fetched_at, found.now)}."
    if found.miss is not None:
        yield from _missed(found.miss, found.now, max_age)
    if state == "stale":
        yield f"It is older than {name.upper()}_MAX_AGE allows."
    if state == "missing":
        yield "No run has come to this user yet."
    if state in ("missing", "stale") or (found.miss and found.miss.next_try):
        yield _next_run(context, name, found.now)


def _missed(miss: Miss, now: datetime, max_age: timedelta | None) -> Iterator[str]:
    tried = f"{miss.attempts} {'time' if miss.attempts == 1 else 'times'}, last {ago(miss.tried_at, now)}"
    if miss.outcome in ("none", "gone"):
        yield f"The source had none when it was asked {tried}."
        again = "when that is older than its MAX_AGE, or" if max_age else "only"
        yield f"It is asked again {again} with --refresh."
        return
    yield f"It was tried {tried}: {'; '.join(miss.reasons)}."
    if miss.next_try is None:
        yield "It is not tried again by itself."
    else:
        yield f"It may be tried again {until(miss.next_try, now)}."


def _next_run(context: Context, name: str, now: datetime) -> str:
    with session():
        running, due = runs.running(name), next_due(name, context.settings.sources[name].every)
    if running:
        return f"Run {str(running.id)[:8]} is under way."
    if name in pause.paused():
        return f"The schedule of {name} is paused."
    if reason := cooling(context, name):
        return reason
    return f"The next run is due {until(due, now)}."


def find_user(text: str, *, external: bool) -> dict[str, object] | None:
    """The user with this id, or with this id at the source."""
    number = int(text)
    if external:
        return services.UserService.get_user_by_external_id(number)
    return services.UserService.get_user_with_relations(number)
