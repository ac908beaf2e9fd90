"""A pool that waits for nothing: tasks wait for a process, and processes wait for a task.

Celery's pool can hand a task to a process just when that dies, and take the next one, which gets the same file
descriptor, for the one that has it (celery/concurrency/asynpool.py, ``on_process_up``). Nobody does that task then, and
that process gets no other. Whatever the way there, it is told by tasks that are not begun though a process is free.
"""

import logging
import os
import signal
from contextlib import suppress
from typing import Any

from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR
from celery.worker import state

logger = logging.getLogger(__name__)

LOOK = 5.0  # seconds between two looks
PATIENCE = 3  # looks at which a task was not begun and a process was free


class PoolWatch:
    """Looks after the pool of one worker, from its event loop. A pool of another kind than prefork needs none."""

    def __init__(self, consumer: Any) -> None:
        self._pool: Any = getattr(consumer.pool, "_pool", None)
        self._seen: dict[str, tuple[int, set[int]]] = {}
        # Others hand tasks to processes that are busy.
        if getattr(self._pool, "sched_strategy", None) == SCHED_STRATEGY_FAIR:
            consumer.timer.call_repeatedly(LOOK, self.look)

    def look(self) -> None:
        """End what was free all the time that a task has waited: the pool replaces it, and hands the task out again."""
        free = self._free()
        waiting = [one.id for one in state.reserved_requests if not one.time_start]
        before = {task_id: self._seen.get(task_id, (0, free)) for task_id in waiting}
        self._seen = {task_id: (looks + 1, then & free) for task_id, (looks, then) in before.items()}
        stuck = [then for looks, then in self._seen.values() if looks >= PATIENCE and then]
        if not stuck:
            return
        idle = set.union(*stuck)
        logger.warning("%d tasks were not begun though processes are free: %d are replaced", len(stuck), len(idle))
        self._seen = {}
        for pid in idle:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _free(self) -> set[int]:
        """The processes that could begin with a task and are not at one."""
        up = {one.pid for one in self._pool._pool if one not in self._pool._waiting_to_start and one._is_alive()}
        return up - {one.worker_pid for one in state.active_requests}
