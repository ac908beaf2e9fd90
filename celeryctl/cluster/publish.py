"""Announcing batches through the broker."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

logger = logging.getLogger(__name__)

RETRIES = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}


def announce(app: "App", batch_ids: Iterable[int]) -> None:
    """Announce batches, whose transaction has committed.

    The first one that fails is the last one tried: each would wait for the broker as long, and all come later anyway.
    """
    for batch_id in batch_ids:
        if not publish(app, batch_id):
            return


def publish(app: "App", batch_id: int) -> bool:
    """Announce a batch. False when the broker does not take it: a reconciliation announces it later."""
    try:
        app.send_task("celeryctl.batch", args=[batch_id], retry_policy=RETRIES)
    except OperationalError as exc:
        why = "refuses it" if isinstance(exc.__cause__, NoPermissionError) else "does not answer"
        logger.warning("batch %s is announced later: the broker %s (%s)", batch_id, why, exc)
        return False
    return True
