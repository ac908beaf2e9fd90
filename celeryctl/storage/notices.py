"""What the ledger announces as it happens. Only a hint of where to look: a lost one costs nobody more than a poll."""

import json
import select
import time
from collections.abc import Callable
from typing import Any

import psycopg2

from celeryctl.errors import CeleryctlError
from celeryctl.storage.database import connect_once

CHANNEL = "celeryctl"  # triggers on runs and batches notify it
RETRY = 1.0  # seconds between two attempts to connect again


class Notices:
    """Listens on a connection of its own, outside the pool, and opens a new one when that is lost.

    ``url`` is asked for at every attempt: an embedded database may come back on another port.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._connection: Any = None

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """What was announced, at once when there is something; nothing when the time is over or nobody answers."""
        deadline = time.monotonic() + seconds
        try:
            if self._connection is None:
                self._listen()
            if select.select([self._connection], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self._connection.poll()
        except (CeleryctlError, psycopg2.Error, OSError):
            self.close()
            time.sleep(max(0.0, min(RETRY, deadline - time.monotonic())))
            return []
        found = [_parsed(notify.payload) for notify in self._connection.notifies]
        self._connection.notifies.clear()
        return [payload for payload in found if payload is not None]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self) -> None:
        self._connection = connect_once(self._url())
        with self._connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")


def _parsed(payload: str) -> dict[str, Any] | None:
    """Anybody who may connect can notify: what is not an object of ours is passed over."""
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
