"""Who works for `up`: the local sources, workers, beat, Flower, each a `celeryctl` of its own."""

import os
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from celeryctl.errors import LocalServerError, NoWorkerError
from celeryctl.local.children import Children
from celeryctl.local.interrupt import Interrupt
from celeryctl.pipeline.context import Context
from celeryctl.storage import coverage
from celeryctl.storage.database import session

POLL = 0.05  # seconds
READY_WITHIN = 60.0  # seconds
WORKER = "worker"  # and its number
VARIABLE = re.compile(r"^([A-Z_]+)=(\S+)$", re.MULTILINE)


class Crew(Children):
    """The children, by what they do."""

    def __init__(
        self, context: Context, interrupt: Interrupt, *, changed: Callable[[Sequence[dict[str, Any]]], None]
    ) -> None:
        super().__init__(context.settings.home, _environ(context), changed=changed)
        self._interrupt, self._metrics_port = interrupt, context.settings.metrics_port
        self._heartbeat_file = context.settings.heartbeat_file
        self._awaited: set[str] = set()
        self._began = 0.0

    def serve_sources(self, users: int) -> dict[str, str]:
        """Serve the source APIs on a free port. Returns the settings that name them."""
        child = self.start("api", "api", "--port", "0", "--users", str(users))
        deadline = time.monotonic() + READY_WITHIN
        while "ALLOW_PRIVATE_SOURCES" not in (found := dict(VARIABLE.findall(child.said()))):
            self._interrupt.pause(POLL)
            self.check()
            if time.monotonic() > deadline:
                raise LocalServerError("the local source APIs do not start", why=child.said(), fix="celeryctl logs api")
        # Started again it has to be found where it was.
        port = str(urlsplit(found["USERS_URL"]).port)
        self._children["api"] = replace(child, arguments=("api", "--port", port, "--users", str(users)))
        return found

    def start_workers(self, count: int) -> None:
        self._began = time.monotonic()
        for name in (f"{WORKER}{number}" for number in range(1, count + 1)):
            self.start(name, "worker", "-n", f"{name}@%h")
            self._awaited.add(f"{name}@{socket.gethostname()}")

    def environ_of(self, name: str) -> dict[str, str]:
        """With a port of its own for every worker's metrics, and a sign of life that is no other's."""
        environ = super().environ_of(name)
        if self._heartbeat_file:
            environ["HEARTBEAT_FILE"] = f"{self._heartbeat_file}.{name}"
        if self._metrics_port and name.startswith(WORKER):
            environ["METRICS_PORT"] = str(self._metrics_port + int(name.removeprefix(WORKER)) - 1)
        return environ

    def start_beat(self) -> None:
        self.start("beat", "beat")

    def start_flower(self) -> None:
        self.start("flower", "flower")

    def are_working(self) -> bool:
        """Whether every worker has shown itself. Raises NoWorkerError when that takes too long."""
        since = time.monotonic() - self._began
        with session():
            seen = {name for name, age in coverage.heartbeats().items() if age < since}
        if self._awaited - seen and since > READY_WITHIN:
            raise NoWorkerError("no worker shows itself", why=f"after {READY_WITHIN:g} s", fix="celeryctl logs worker1")
        return not self._awaited - seen


def _environ(context: Context) -> dict[str, str]:
    """Our environment, with the home: a child finds the same one, and in it broker and database."""
    environment = context.settings.environment
    if environment.origin("CELERYCTL_HOME") == ".env":
        # Named in the environment, the home would have a `.env` of its own.
        return dict(os.environ)
    return {**os.environ, "CELERYCTL_HOME": str(environment.home)}
