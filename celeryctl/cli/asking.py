"""Where the watch view's documents come from: a thread that asks, and a memory of what servers that are away said."""

import threading
import time
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from typing import Any

from celeryctl.cluster.overview import FROM_DATABASE, Collector
from celeryctl.local import access
from celeryctl.pipeline.context import Context

# Whoever quits does not wait for a server that is silent; an embedded one that we have started is to be stopped.
END_WITHIN = 20.0
END_WITHIN_UNANSWERED = 1.0
LATE = 3.0  # seconds after which an answer that does not come is told
Document = dict[str, Any]


class Asker:
    """Collects documents from a thread of its own, as often as ``every`` says, unless ``paused``."""

    def __init__(self, context: Context, every: float, *, news: Callable[[], None]) -> None:
        self.every, self.paused = every, False
        self.known = Known()
        self._context, self._news = context, news
        self._over, self._now = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="stats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; one that waits for a server that is silent ends with the process."""
        self._over.set()
        self._now.set()
        silent = not self.paused and time.monotonic() - self.known.at > self.every + LATE
        self._thread.join(END_WITHIN if self.known.answers and not silent else END_WITHIN_UNANSWERED)

    def hurry(self) -> None:
        """Ask now."""
        self._now.set()

    def _run(self) -> None:
        for document in documents(self._context, self._rest):
            self.known = self.known.then(document, time.monotonic())
            self._news()

    def _rest(self) -> bool:
        """Wait until it is time to ask again; False when it is over."""
        self._now.wait(self.every)
        self._now.clear()
        while self.paused and not self._over.is_set():
            self._now.wait()
            self._now.clear()
        return not self._over.is_set()


def documents(context: Context, rest: Callable[[], bool]) -> Generator[Document, None, None]:
    """The stats again and again, until ``rest`` is False. Whatever is away may come, also on another port."""
    collector = Collector()
    with access.Watch(context) as watch:
        while True:
            document = collector.collect()
            yield document
            if not rest():
                return
            if document["problems"]:
                watch.renew(lost=document["datasets"] is None)


class Known:
    """The newest document, and the newest of each of the two servers, with the moments in ``time.monotonic()``."""

    def __init__(self, newest: Document | None = None, at: float = 0.0) -> None:
        self.newest, self.at = newest, at
        self._database: tuple[Document, float] = ({}, at)
        self._broker: tuple[Document, float] = ({}, at)

    def then(self, document: Document, at: float) -> "Known":
        """What is known once this has come."""
        known = Known(document, at)
        known._database = (_parts(document, FROM_DATABASE), at) if _answers(document, "datasets") else self._database
        known._broker = (_parts(document, ("queues",)), at) if _answers(document, "queues") else self._broker
        return known

    @property
    def answers(self) -> bool:
        """Whether both servers answered when they were asked last."""
        return self.newest is not None and not self.newest["problems"]

    def document(self) -> Document | None:
        """The newest; what it lacks as a server is away is as it was last."""
        return self.newest and {**self.newest, **self._database[0], **self._broker[0]}

    def old(self, now: float) -> dict[str, float]:
        """The age in seconds of the parts that are not from the newest document."""
        kept = (("datasets", self._database), ("queues", self._broker))
        return {name: now - at for name, (parts, at) in kept if parts and at < self.at}

    def moment(self, now: float) -> datetime | None:
        """The database's time, as its clock has gone on since."""
        at: datetime | None = self._database[0].get("at")
        return at and at + timedelta(seconds=now - self._database[1])


def _answers(document: Mapping[str, Any], part: str) -> bool:
    return document[part] is not None


def _parts(document: Mapping[str, Any], names: tuple[str, ...]) -> Document:
    return {name: document[name] for name in names}
