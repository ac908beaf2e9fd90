"""Memory of the broker and of the workers, and how long the queue gets, while a cluster works."""

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
import redis

from benchmarks.rig import Rig
from celeryctl.cluster.queues import PRIORITY_STEPS, QUEUE

EVERY = 0.1  # seconds
MIB = 2**20


class Sampler:
    """Looks at the broker now and then for the time of the block. ``memory`` in bytes, ``queue`` in messages: peaks."""

    def __init__(self, rig: Rig) -> None:
        self._client = rig.client()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.memory = self.queue = 0

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            with suppress(redis.RedisError), self._client.pipeline(transaction=False) as pipe:
                pipe.info("memory")
                for step in PRIORITY_STEPS:
                    pipe.llen(QUEUE + step)
                memory, *waiting = pipe.execute()
                self.memory = max(self.memory, memory["used_memory"])
                self.queue = max(self.queue, sum(waiting))


def peak_rss(pid: int) -> int:
    """The most resident memory, in bytes, that the process or one of its children has had; 0 without /proc."""
    root = psutil.Process(pid)
    return max(_high_water(process.pid) for process in (root, *root.children(recursive=True)))


def _high_water(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
