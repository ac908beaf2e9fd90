"""What a worker does beside its tasks: heartbeats, a first reconciliation, and care after a fork."""

import gc
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import psutil
from celery import signals
from celery.worker import state

from celeryctl.cluster import lines, orphans
from celeryctl.cluster.pool import PoolWatch
from celeryctl.cluster.publish import publish
from celeryctl.cluster.queues import depth
from celeryctl.errors import CeleryctlError
from celeryctl.storage import heartbeat, letters, reconciliation
from celeryctl.storage.database import forget

if TYPE_CHECKING:
    from celeryctl.cluster.app import App

logger = logging.getLogger(__name__)

PULSE = 5.0  # seconds between two heartbeats
GARBAGE = 200_000  # objects made before the collector looks for cycles
FAULTS = (CeleryctlError, psutil.Error)


def connect(app: "App") -> None:
    """Attach everything to Celery's signals, for this process's app."""
    settings = app.context.settings
    pulse = Pulse(app)

    def log(loglevel: int | None = None, **_: Any) -> None:
        lines.configure(settings, loglevel)

    def begin(sender: Any, **_: Any) -> None:
        if settings.metrics_port:
            from celeryctl.cluster.workermetrics import WorkerMetrics

            WorkerMetrics(app, sender.hostname)
        if app.life_sign:
            app.life_sign.start()
        # What all processes need is loaded once, before they are forked.
        app.pipeline.prepare()

    def ready(sender: Any, **_: Any) -> None:
        pulse.start(sender.hostname, getattr(sender, "pool", None) or sender)
        PoolWatch(sender)
        reconcile_once(app)

    def stop(**_: Any) -> None:
        pulse.stop()

    def forked(**_: Any) -> None:
        forget()
        # What the fork brought along stays, and rows come and go by the thousand without cycles: looking through them
        # again and again would cost time.
        gc.freeze()
        gc.set_threshold(GARBAGE)

    signals.setup_logging.connect(log, weak=False)
    signals.worker_init.connect(begin, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutdown.connect(stop, weak=False)
    signals.worker_process_init.connect(forked, weak=False)


def reconcile(app: "App") -> int:
    """Announce again what got lost, and drop what is of no use any more. Raises CeleryctlError."""
    orphans.sweep(app.context.settings)
    return reconciliation.reconcile(lambda batch_id: publish(app, batch_id), lambda: depth(app.context.settings)[0])


def reconcile_once(app: "App") -> int:
    """The same where what cannot be done now is done later, by beat."""
    try:
        return reconcile(app)
    except CeleryctlError as exc:
        logger.warning("not reconciled: %s", exc)
        return 0


class Pulse:
    """Writes the worker's heartbeat from a thread, every few seconds, until stopped."""

    def __init__(self, app: "App") -> None:
        self._app, self._url = app, str(app.context.settings.database_url)
        self._dead_letters = app.dead_letters
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = ""

    def start(self, name: str, pool: Any) -> None:
        self._name = name
        self._thread = threading.Thread(target=self._run, args=(pool,), name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the worker off the list."""
        self._over.set()
        if self._thread is None:
            return
        self._thread.join(PULSE)
        try:
            heartbeat.gone(self._url, name=self._name)
            self._dead_letters.write(self._file)
        except FAULTS as exc:
            logger.warning("the worker stays on the list until its heartbeat is old: %s", exc)

    def _run(self, pool: Any) -> None:
        while True:
            try:
                heartbeat.beat(
                    self._url,
                    name=self._name,
                    active=len(state.active_requests),
                    concurrency=getattr(pool, "num_processes", 0),  # a pool that has ended cannot tell
                    rss=memory(),
                    key_id=next(iter(self._app.pipeline.keyring.ids), None),
                )
                self._dead_letters.write(self._file)
            except FAULTS as exc:
                # The next one may go through: a thread that ends here would leave a living worker off the list.
                logger.warning("no heartbeat: %s", exc)
            if self._over.wait(PULSE):
                return

    def _file(self, found: list[letters.DeadLetter]) -> None:
        letters.write(self._url, found, worker=self._name)


def memory() -> int:
    """Resident memory of this process and its children, in bytes."""
    own = psutil.Process(os.getpid())
    total = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # ended between the listing and the look
    return total
