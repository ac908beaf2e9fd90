"""The requests of a batch: several at a time where the source lets us wait, one after the other where it does not."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property
from itertools import chain
from typing import TypeVar

from celeryctl.http import Meter

SLOW = 0.005  # seconds an answer takes from which on waiting for several at once gains more than threads cost

T = TypeVar("T")
R = TypeVar("R")


class Lanes:
    """Remembers how fast each source answers this process, and has the threads for those that are slow."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._latency: dict[str, float] = {}

    def run(self, source: str, meter: Meter, function: Callable[[T], R], over: Iterable[T]) -> Iterator[R]:
        """The results of ``function``, which asks this source, in the order of ``over``."""
        todo = iter(over)
        first: list[R] = []
        if source not in self._latency:
            first = [function(one) for one in [next(todo, None)] if one is not None]
            self.learn(source, meter)
        if self._latency.get(source, 0.0) < SLOW:
            return chain(first, map(function, todo))
        # Their log lines are about the same batch. A copy each: no two threads can be in one context.
        context = copy_context()
        return chain(first, self._threads.map(lambda one: context.copy().run(function, one), todo))

    def learn(self, source: str, meter: Meter) -> None:
        """Note how fast the source answered the requests that this meter has seen."""
        if (brisk := meter.brisk) is not None:
            # Not the mean: asked several things at once, most wait for each other too. Not the least: that may be luck.
            self._latency[source] = brisk

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._count, thread_name_prefix="fetch")
