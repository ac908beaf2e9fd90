"""Taking note of messages that are none."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from celeryctl.cluster.envelope import header
from celeryctl.logs import mask
from celeryctl.storage.letters import DeadLetter

logger = logging.getLogger(__name__)

KEPT = 1000  # dead letters that wait to be written down, at most: what comes then stands in the log alone
SHOWN = 200  # characters of a foreign text


class DeadLetters:
    """What was set aside and not written down yet. The heartbeat's thread does that: no database holds up the queue."""

    def __init__(self) -> None:
        self._found: deque[DeadLetter] = deque()
        self._writing = threading.Lock()

    def put(self, reason: str, message: Any, size: int) -> None:
        """Set a message aside. Of its body nothing is kept but the ``size``: it may hold anything."""
        names = {name: mask(header(message, name) or "")[:SHOWN] for name in ("task", "id", "origin")}
        letter = DeadLetter(mask(reason)[:SHOWN], names["task"], names["id"], names["origin"], size)
        logger.error("a message is set aside: %s (task %r from %r)", letter.reason, letter.task, letter.origin)
        if len(self._found) < KEPT:
            self._found.append(letter)

    def write(self, store: Callable[[list[DeadLetter]], None]) -> None:
        """Hand over what has come. Where storing it fails it is handed over again the next time."""
        with self._writing:
            if letters := [*self._found]:
                store(letters)
                for _ in letters:
                    self._found.popleft()
