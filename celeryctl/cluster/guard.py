"""A worker that stays alive whatever is in the queue: what is no task's message is set aside as a dead letter."""

import logging
import warnings
from collections.abc import Callable, Container
from time import monotonic, sleep
from typing import Any

import redis
from celery import signals
from celery.worker import consumer
from celery.worker.state import maybe_shutdown
from kombu.transport.redis import Channel, Transport

from celeryctl.cluster.deadletters import DeadLetters
from celeryctl.cluster.envelope import MALFORMED, header, read

logger = logging.getLogger(__name__)

LONGEST_PAUSE, STEADY = 5.0, 10.0  # seconds; a connection that lasts longer begins anew without a pause


class GuardedChannel(Channel):
    """Reads the queue, and passes on what is a message."""

    def _get_client(self) -> type["redis.Redis"]:
        client, transport = super()._get_client(), self.connection  # type: ignore[no-untyped-call]

        class Client(client):  # type: ignore[misc,valid-type]
            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                reply = super().parse_response(connection, command_name, **options)
                if command_name != "BRPOP" or not reply:
                    return reply
                return reply if transport.guard.passes(reply[1]) else None

        return Client

    def _connparams(self, asynchronous: bool = False) -> Any:
        """A task may end after its broker: acknowledged over a connection that is no more, it would end the worker."""
        if self.connection.client is None:
            raise redis.ConnectionError("the connection that brought the message is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]

    def _receive_one(self, client: Any) -> Any:
        """What is broadcast to all workers: remote control. What is none is passed over."""
        try:
            return super()._receive_one(client)  # type: ignore[no-untyped-call]
        except MALFORMED as exc:
            logger.error("a broadcast is passed over: %s", exc)  # noqa: TRY400 - its reason says it all
            return True


class Guard:
    """Tells tasks' messages from others. ``tasks`` are those that this worker knows."""

    def __init__(self, tasks: Container[str], letters: DeadLetters) -> None:
        self._tasks, self._letters = tasks, letters

    def passes(self, raw: bytes) -> bool:
        """Whether it is a task's message; what is none is set aside."""
        message, fault = read(raw)
        name = header(message, "task")
        if not fault and name not in self._tasks:
            fault = "no task of this worker has that name"
        if fault:
            self._letters.put(fault, message, len(raw))
        return not fault


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Celery's consumer behind the guard. A broker that answers and is of no use is not asked again without a pause."""

    _lost, _pause = 0.0, 0.0

    def stop(self) -> None:
        super().stop()
        if self.app.life_sign:
            self.app.life_sign.rest()  # the batches that it has yet to finish may take longer

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        super().on_connection_error_before_connected(exc)
        self._wait()

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        with warnings.catch_warnings():
            # Celery announces another default of a setting that we have made.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        self._wait()

    def _wait(self) -> None:
        """Not where the connection was good for a while; else longer each time."""
        lasted = monotonic() - self._lost - self._pause
        self._pause = 0.0 if lasted > STEADY else min(self._pause + 1, LONGEST_PAUSE)
        self._lost = monotonic()
        while monotonic() < self._lost + self._pause:
            maybe_shutdown()
            sleep(0.1)

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        # The class, not the one that there is: after a failure kombu makes another. Its name stays the URL's scheme,
        # which a worker tells of when it is asked for its stats.
        guard = Guard(self.app.tasks, self.app.dead_letters)
        transport = type("Transport", (Transport,), {"Channel": GuardedChannel, "guard": guard})
        connection.get_transport_cls = lambda: transport
        return self.ensure_connected(connection)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        handle = super().create_task_handler(*args, **options)

        def guarded(message: Any) -> None:
            try:
                handle(message)
            except MALFORMED as exc:
                # Nothing that the guard knows of. Raised from here it would come back as soon as the worker does.
                set_aside(self, message=message, exc=exc)
                if not message.acknowledged:
                    message.reject_log_error(logger, self.connection_errors)

        return guarded


def set_aside(sender: consumer.Consumer, *, message: Any, exc: BaseException | None, **_: Any) -> None:
    """Celery has thrown a message away, or stumbles over it."""
    reason = f"{type(exc).__name__}: {exc}" if exc else "Celery does not know its format"
    sender.app.dead_letters.put(reason, {"headers": message.headers}, len(message.body or ""))


signals.task_rejected.connect(set_aside)
