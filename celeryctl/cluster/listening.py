"""Listening to events without leaving a trace in the broker: what a user needs who may only read there.

kombu writes down who listens, which a broadcast on Redis does not need, and lets every consumer put back messages whose
worker has died. Both are for those who work.
"""

import logging
from typing import Any

from kombu.transport import redis as transport
from redis.exceptions import NoPermissionError

logger = logging.getLogger(__name__)

TRANSPORT = f"{__name__}:Transport"  # as a setting of Celery


class QoS(transport.QoS):
    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Leave the messages of dead workers to the living ones."""


class Channel(transport.Channel):
    """Binds queues of broadcasts in its own memory only."""

    QoS = QoS

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        if self.typeof(exchange).type == "fanout":  # type: ignore[no-untyped-call]
            self._fanout_queues[queue] = (exchange, routing_key.replace("#", "*"))
        else:
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[no-untyped-call]

    def _delete(self, queue: str, exchange: str, *args: Any, **kwargs: Any) -> None:
        if queue not in self._fanout_queues:
            super()._delete(queue, exchange, *args, **kwargs)  # type: ignore[no-untyped-call]

    def _size(self, queue: str) -> int:  # noqa: ARG002 - kombu's own
        """Nobody here asks; kombu does when it declares a queue."""
        return 0

    def maybe_refresh_binding_expiry(self) -> None:
        """There is nothing that could expire."""

    def _put_fanout(self, *args: Any, **kwargs: Any) -> None:
        """Ask all workers for something, such as Flower does for a sign of life. Where that is refused they tell it
        all the same: our workers always send their events.
        """
        try:
            super()._put_fanout(*args, **kwargs)  # type: ignore[no-untyped-call]
        except NoPermissionError as exc:
            logger.debug("not asked: %s", exc)


class Transport(transport.Transport):
    Channel = Channel
