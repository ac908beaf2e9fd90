"""Asking a server again and again, and waiting no longer for it than one likes."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from celeryctl import threads
from celeryctl.logs import one_line

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Asked(Generic[T]):
    """Something that a server is asked for, by one thread at a time, however many want to know it.

    An answer counts for ``keep`` seconds, and then while the next one is under way. ``renew`` is called where there was
    an error: the server may be another by now.
    """

    def __init__(
        self, what: str, ask: Callable[[], T], *, keep: float = 0.0, renew: Callable[[], None] = lambda: None
    ) -> None:
        self._what, self._ask, self._keep, self._renew = what, ask, keep, renew
        self._lock = threading.Lock()
        self._future: Future[T] | None = None
        self._kept: Future[T] | None = None  # the answer before
        self._begun = 0.0
        self._away = False

    def begin(self) -> "Future[T]":
        """Ask, unless that is under way or has been done just now."""
        with self._lock:
            future = self._future
            if future is None or (future.done() and self._is_over(future)):
                self._kept = future if future and self._keep and not future.exception() else None
                self._begun = time.monotonic()
                self._future = future = threads.start(self._answer)
            return self._kept if self._kept and not future.done() else future

    def result(self, future: "Future[T]", until: float) -> T | None:
        """The answer, where one comes until that instant of time.monotonic(); the log hears why none does."""
        try:
            error = future.exception(max(0.0, until - time.monotonic()))
        except TimeoutError:
            error = TimeoutError("no answer in time")
        self._tell(error)
        return None if error else future.result()

    def _is_over(self, future: "Future[T]") -> bool:
        return bool(future.exception()) or time.monotonic() - self._begun >= self._keep

    def _answer(self) -> T:
        try:
            return self._ask()
        except Exception:
            self._renew()
            raise

    def _tell(self, error: BaseException | None) -> None:
        if bool(error) != self._away:
            self._away = bool(error)
            logger.warning("%s: %s", self._what, one_line(str(error)) if error else "answers again")
