"""What the log says of a batch: one line, when it is finished, at INFO, or when it fails, with its reason."""

import logging
from contextlib import AbstractContextManager

from celeryctl import logs
from celeryctl.errors import CeleryctlError
from celeryctl.storage.batches import Claim
from celeryctl.storage.outcomes import Outcome

logger = logging.getLogger(__name__)


def about(claim: Claim) -> AbstractContextManager[None]:
    """Whatever is logged in this block is about this batch."""
    run = claim.run
    return logs.about(run=run.id, dataset=run.dataset, batch=claim.id, attempt=claim.attempts)


def again(error: CeleryctlError, level: int) -> None:
    """Nothing was written: whoever takes it up after its lease, or at once, begins it anew."""
    logger.log(level, "batch is tried again: %s", error)


def untaken(error: CeleryctlError) -> None:
    """It could not be claimed: if it is one, it is announced again when it is due."""
    logger.warning("batch cannot be taken: %s", error)


def split(claim: Claim, *, ours: bool) -> None:
    """Its holders have died: its halves come in its place, if it was still ``ours``."""
    if ours:
        logger.warning("batch is split: it was not done in %d attempts", claim.attempts - 1)
    else:
        left()


def given_up(reason: object, level: int = logging.WARNING, *, ours: bool = True) -> None:
    """Nothing comes in its place, if it was still ``ours``: the next run plans it anew."""
    if ours:
        logger.log(level, "batch is given up: %s", reason)
    else:
        left()


def left() -> None:
    """It is no longer ours: nothing was written, and need not be."""
    logger.info("batch is no longer ours: its run was cancelled, or somebody else has it")


def finished(outcome: Outcome, seconds: float) -> None:
    """It is stored. ``seconds`` is how long that took, its requests included."""
    written = outcome.written
    if written is None:
        left()
        return
    absent = sum(missed.outcome == "none" for missed in outcome.missed)
    counts = {"created": written.created, "updated": written.updated, "unchanged": written.unchanged}
    counts |= {"rejected": len(outcome.missed) - absent, "absent": absent, "requests": outcome.requests}
    with logs.about(**counts, seconds=round(seconds, 3)):
        logger.info("batch finished")
