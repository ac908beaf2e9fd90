"""Celery's own events: tasks that fail or are tried again, and fetches that were asked for by a message."""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import redis
from celery import Celery
from celery.events import EventReceiver
from kombu.exceptions import KombuError, OperationalError

from celeryctl.cluster.app import CONFIGURATION
from celeryctl.cluster.envelope import MALFORMED
from celeryctl.cluster.listening import TRANSPORT
from celeryctl.logs import mask
from celeryctl.storage.feed import Moment

TYPES = ("task-received", "task-failed", "task-retried")
ASKED = "celeryctl.fetch."  # what a message asks for, unlike the ledger's own batches
LOOK = 1.0  # seconds between two looks at whether it is over
RETRY = 1.0  # seconds between two attempts to connect again
SILENCE = 10  # looks; workers send a heartbeat every 2 s, so by then there is no worker or the connection is dead
BROKER_AWAY, BROKER_BACK = "broker-away", "broker-back"
FAULTS = (OperationalError, KombuError, redis.RedisError, OSError)


class Listener:
    """Hands events to ``see`` in a thread of its own, and connects again where the broker comes back.

    ``url`` is asked for at every attempt: the broker may come back on another port. ``away`` says that it does not
    answer now; ``tell`` is told why when it goes, and None when it is back.
    """

    def __init__(
        self,
        url: Callable[[], str | None],
        types: Iterable[str],
        see: Callable[[Mapping[str, Any]], None],
        tell: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._url, self._handlers, self._tell = url, dict.fromkeys(types, see), tell
        self._over = threading.Event()
        self.away = False
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def close(self) -> None:
        """End the thread as soon as it looks."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            url = self._url()
            try:
                if url is None:
                    self._say_away("there is no broker")
                else:
                    self._receive(url)
            except FAULTS as exc:
                self._say_away((str(exc) or type(exc).__name__).splitlines()[0])
            if self.away:
                self._over.wait(RETRY)

    def _receive(self, url: str) -> None:
        """Receive until it is over, the connection is lost, or nothing has come for long: a new one tells why."""
        app = Celery("events", broker=url, set_as_current=False)
        app.conf.broker_transport_options = CONFIGURATION["broker_transport_options"]
        app.conf.broker_transport = TRANSPORT
        with app, app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=LOOK)
            receiver = _Receiver(connection, handlers=self._handlers, app=app)
            receiver.connect_max_retries = 1
            # To wake the workers up, it would publish, and try for ever where the broker goes at that moment.
            with receiver.consumer_context(wakeup=False) as (own, _, _):
                self._say_back()
                silent = 0
                while silent < SILENCE and not self._over.is_set():
                    silent = 0 if _drain(own) else silent + 1

    def _say_away(self, why: str) -> None:
        if not self.away:
            self.away = True
            self._tell(mask(why))

    def _say_back(self) -> None:
        if self.away:
            self.away = False
            self._tell(None)


class Events:
    """What of them is worth a line, and whether the broker answers, kept until somebody asks."""

    def __init__(self, url: Callable[[], str | None]) -> None:
        self._found: queue.SimpleQueue[Moment] = queue.SimpleQueue()
        self._listener = Listener(url, TYPES, self._handle, self._say)

    @property
    def away(self) -> bool:
        """Whether the broker does not answer now."""
        return self._listener.away

    def new(self) -> list[Moment]:
        """What came since the last call."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._found.get_nowait())
        return found

    def close(self) -> None:
        """End the thread as soon as it looks."""
        self._listener.close()

    def _handle(self, event: Mapping[str, Any]) -> None:
        task = str(event.get("name") or "")
        if event["type"] == "task-received" and not task.startswith(ASKED):
            return
        detail = {"worker": event.get("hostname"), "task": task or None, "task_id": event.get("uuid")}
        if error := event.get("exception"):
            detail["error"] = mask(str(error))
        at = datetime.fromtimestamp(event["timestamp"], UTC)
        self._found.put(Moment(kind=event["type"], at=at, detail=detail))

    def _say(self, away: str | None) -> None:
        self._found.put(Moment(kind=BROKER_AWAY, detail={"error": away}) if away else Moment(kind=BROKER_BACK))


class _Receiver(EventReceiver):  # type: ignore[misc]
    """Passes over what is no event: raised from here, it would keep back those that came with it."""

    def _receive(self, body: Any, message: Any, **more: Any) -> None:
        with suppress(*MALFORMED):
            super()._receive(body, message, **more)


def _drain(connection: Any) -> bool:
    """Receive one event, whatever it is; False when none came."""
    try:
        connection.drain_events(timeout=LOOK)
    except TimeoutError:
        return False
    except MALFORMED:
        return True
    return True
