"""A storm of all faults at random, under clients that ask for everything all the time."""

import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from cluster.kit import Process
from faultserver import FaultServer

from celeryctl.local.sources import variables

from .asking import Asking
from .audit import audit
from .fates import BEATS, WORKERS, Fate, fates
from .kit import Stage, children, new_stage, pass_time
from .strikes.sources import Sources

LATENCY = 0.2  # seconds that a source takes to answer
AT_ONCE = 12  # faults at most
EVERY = "30s"
SETTINGS: dict[str, Any] = {
    "FETCH_USERS_INTERVAL": EVERY, "FETCH_ADDRESSES_INTERVAL": EVERY, "FETCH_CREDIT_CARDS_INTERVAL": EVERY,
    "HTTP_READ_TIMEOUT": "2s", "HTTP_TOTAL_TIMEOUT": "5s", "BATCH_SIZE": "1000",
    "broker_settings": ("maxmemory-policy noeviction",),
}  # fmt: skip


@dataclass
class Storm:
    """What happened. ``wrong`` is what must not. Users become more and more, so that something is always to be done."""

    stage: Stage
    sources: Sources
    say: Callable[[str], None]
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    largest: int = 0  # bytes of memory that a process of a worker had
    _began: float = 0.0
    _held: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def rage(self, seconds: float, seed: int) -> None:
        """Strike for so long. At the end every fault is undone, and who asked has gone."""
        struck: list[tuple[Fate, Future[None]]] = []
        self._began = time.monotonic()
        with Asking(self.stage) as asking, ThreadPoolExecutor(AT_ONCE) as pool:
            for fate in fates(seed, self.sources, asking.killed):
                self.sources.users = max(1, int(self.stage.users * min(1, self._passed() / seconds)))
                self._wait_for(fate)
                if self._passed() > seconds:
                    break
                struck.append((fate, pool.submit(self._strike, fate)))
        self.sources.users = self.stage.users
        self.codes = asking.codes
        self.wrong += [f"a client broke:\n{text}" for text in asking.broken]
        self.wrong += [f"{fate}: {error}" for fate, future in struck if (error := future.exception())]
        self.say(f"{self._passed():6.1f} s  all faults are over")

    def _wait_for(self, fate: Fate) -> None:
        """Its time has come, and nothing else befalls its victim."""
        pass_time(fate.pause)
        for worker in tuple(self.stage.workers.values()):
            with suppress(psutil.NoSuchProcess):
                self.largest = max(self.largest, *(peak(one) for one in (worker, *children(worker))))
        self._held[fate.card.whom].acquire()

    def _strike(self, fate: Fate) -> None:
        try:
            self.counts[fate.card.kind][fate.card.what] += 1
            self.say(f"{self._passed():6.1f} s  {fate}")
            with fate.card.strike(self.stage):
                pass_time(fate.lasts)
        finally:
            self._held[fate.card.whom].release()

    def _passed(self) -> float:
        return time.monotonic() - self._began


def peak(process: Process | psutil.Process) -> int:
    """The most memory that it has had, in bytes; where the system does not tell that, what it has now."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()):
            return int(found[1]) << 10
    return int(psutil.Process(process.pid).memory_info().rss)


def weather(folder: Path, *, minutes: float, users: int, seed: int, say: Callable[[str], None]) -> Storm:
    """A whole cluster in a storm, and what was wrong with it in the storm and afterwards."""
    say(f"{minutes:g} minutes, {users} users, seed {seed}; what everybody said is in {folder}")
    with FaultServer() as server, new_stage(folder, users=users, relays=True, **SETTINGS) as stage:
        stage.variables.update(variables(server.url))
        storm = Storm(stage, Sources(server, users, LATENCY), say)
        for name in WORKERS:
            stage.worker(name)
        for name in BEATS:
            stage.beat(name)
        storm.rage(minutes * 60, seed)
        audit(storm)
    return storm
