"""Beat: opens the runs that are due and reconciles. Any number may run; one is active, the others stand by."""

import logging
import os
import socket
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg2
from celery.beat import Scheduler

from celeryctl import logs
from celeryctl.cluster.publish import announce
from celeryctl.cluster.signals import reconcile
from celeryctl.errors import CeleryctlError, UnreachableError
from celeryctl.pipeline.schedule import next_due
from celeryctl.storage import coverage, heartbeat, pause
from celeryctl.storage.database import connect_once, session, translate
from celeryctl.storage.runs import Order

logger = logging.getLogger(__name__)

TICK = 2.0  # seconds between two looks
LEADER = 0x62656174  # of pg_try_advisory_lock: whoever holds it is the active beat


class LedgerScheduler(Scheduler):  # type: ignore[misc]
    """Celery's beat with PostgreSQL as its memory: there is no schedule file, and no message that could get lost.

    A due data set's run is opened in the ledger, in a slot that can be taken once only, and its batches are announced.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connection: Any = None
        self._name = f"beat{os.getpid()}@{socket.gethostname()}"
        self._leading = self._closed = False
        self._said: dict[str, str] = {}
        super().__init__(*args, **kwargs)
        if self.app.life_sign:
            self.app.life_sign.watch()
            self.app.life_sign.start()

    def tick(self, *_: Any, **__: Any) -> float:
        """Look once; Celery calls again after the seconds returned."""
        if self._closed:
            # By Celery's handler of signals, whose SystemExit may be lost: Python ignores it in a finalizer.
            raise SystemExit
        if self.app.life_sign:
            self.app.life_sign.turned()
        try:
            leads = self._leads()
            heartbeat.ticked(self._connection, name=self._name, active=leads)
            if leads:
                self._say("active: opens the runs that are due")
                self._reconcile()
                return min(TICK, self._open_due())
            self._say("stands by: another beat is active")
            heartbeat.unseat(self._connection, lock=LEADER)
        except CeleryctlError as exc:
            self._say(f"waits: {exc}")
        return TICK

    def close(self) -> None:
        """Let the next beat take over at once. There is no tick after it."""
        self._closed = True
        if self._connection is not None:
            with suppress(CeleryctlError):
                heartbeat.ended(self._connection, name=self._name)
            self._connection.close()
        super().close()

    def _reconcile(self) -> None:
        try:
            reconcile(self.app)
        except CeleryctlError as exc:
            self._say(f"is not reconciled: {exc}", who="the ledger")
        else:
            self._said.pop("the ledger", None)

    def _open_due(self) -> float:
        """Open what is due. Returns the seconds until the next data set is."""
        standing = pause.paused()
        sources = self.app.context.settings.sources
        due = [self._try(name, source.every) for name, source in sources.items() if name not in standing]
        return min(due, default=TICK)

    def _try(self, name: str, every: timedelta) -> float:
        """Open what is due of one data set. One that is broken, its table missing, does not keep back the others."""
        try:
            return self._open(name, every)
        except UnreachableError:
            raise
        except CeleryctlError as exc:
            self._say(f"cannot open its run: {exc}", who=name)
            return TICK

    def _open(self, name: str, every: timedelta) -> float:
        with session():
            due, now = next_due(name, every), coverage.clock()
        if due > now:
            return (due - now).total_seconds()
        opened = self.app.pipeline.open(Order(dataset=name, trigger="schedule", slot=due))
        if opened and not opened.joined:
            with logs.about(dataset=name, run=opened.run.id):
                logger.info("run opened")
        announce(self.app, opened.batches if opened else ())
        self._said.pop(name, None)
        return every.total_seconds()

    def _leads(self) -> bool:
        """Whether we hold the lock. It belongs to a connection, so it is free as soon as its holder is gone."""
        try:
            if self._connection is None:
                self._connection, self._leading = connect_once(str(self.app.context.settings.database_url)), False
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT %s OR pg_try_advisory_lock(%s)", (self._leading, LEADER))
                self._leading = bool(cursor.fetchone()[0])
        except psycopg2.Error as exc:
            self._connection = None
            raise translate(exc) from None
        return self._leading

    def _say(self, state: str, *, who: str = "beat") -> None:
        if self._said.get(who) != state:
            logger.info("%s %s", who, state)
            self._said[who] = state
