"""Tells a worker's sign of life when its event loop turns."""

from typing import Any

from celery import bootsteps
from celery.concurrency import solo
from celery.worker import state

from celeryctl.cluster import lifesign


class Turning(bootsteps.StartStopStep):  # type: ignore[misc]
    """Marks the turns of a worker's event loop. Also without a connection it should come back to it before long."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._sign: Any = consumer.app.life_sign
        self._entry: Any = None
        super().__init__(consumer, **options)

    def include_if(self, consumer: Any) -> bool:
        """A pool of greenlets has no loop of Celery's: our thread is one of them, and stands still when they do."""
        return self._sign is not None and consumer.hub is not None

    def create(self, consumer: Any) -> None:
        # This pool does its batches within the loop.
        within = isinstance(consumer.pool, solo.TaskPool)
        self._sign.watch(lambda: within and bool(state.active_requests))

    def start(self, consumer: Any) -> None:
        self._entry = consumer.timer.call_repeatedly(lifesign.EVERY, self._sign.turned)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's
        # Its connection is lost, or it was tried in vain: also when that happens again and again, it does something.
        self._sign.turned()
        if self._entry is not None:
            self._entry.cancel()
