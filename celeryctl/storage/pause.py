"""Data sets whose schedule stands still: beat passes over them until they are resumed."""

from collections.abc import Iterable

from celeryctl.storage.database import transaction
from celeryctl.storage.ledger import DatasetState


def pause(names: Iterable[str]) -> None:
    """Let beat open no run of these data sets from now on."""
    _set(names, paused=True)


def resume(names: Iterable[str]) -> None:
    """Let beat open runs of these data sets again; one that was missed meanwhile is due at once."""
    _set(names, paused=False)


def paused() -> set[str]:
    """The names of the data sets that are paused."""
    with transaction():
        return {state.name for state in DatasetState.select().where(DatasetState.paused)}


def _set(names: Iterable[str], *, paused: bool) -> None:
    rows = [{"name": name, "paused": paused} for name in sorted(names)]
    with transaction():
        DatasetState.insert_many(rows).on_conflict(
            conflict_target=[DatasetState.name], update={DatasetState.paused: paused}
        ).execute()
