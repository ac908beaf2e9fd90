"""A client that asks for everything, again and again, as long as its block lasts."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from cluster.kit import Process
from waiting import eventually

from .kit import Stage, kill


class Asking:
    """Who asks is killed by a strike at times; another one comes after it. ``codes`` are what they ended with."""

    def __init__(self, stage: Stage) -> None:
        self.codes: Counter[int] = Counter()
        self.broken: list[str] = []
        self._stage, self._over = stage, threading.Event()
        self._client: Process | None = None
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._asking = self._pool.submit(self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._pool:
            self._asking.result()

    @contextmanager
    def killed(self, _: Stage) -> Iterator[None]:
        client = eventually(lambda: self._client if self._client and self._client.lives else None)
        kill(client)
        yield

    def _ask(self) -> None:
        code = None
        while not self._over.is_set():
            self._client = client = self._stage.fetch("all", *(["--refresh"] if code == 0 else []))
            while client.lives and not self._over.is_set():
                self._over.wait(0.05)
            if client.lives:
                client.kill()
                return
            code = client.ended()
            self.codes[code] += 1
            if "Traceback" in client.text:
                self.broken.append(client.text)
