"""A cluster that is hurt: servers of its own that can be killed, frozen and cut off, and the audit that follows.

with new_stage(tmp_path, users=400) as stage:
    stage.worker("first")
    stage.fetch("all")                    # a client that waits, as a person would have it
    … hurt something …
    stage.recovered(bound=10, recovery=recovery)
"""

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis
from broker import Broker
from cluster.kit import Process, process, rows, run, settings, sources, value
from relay import Relay, relay
from servers import temporary_home
from waiting import eventually

from celeryctl.errors import CeleryctlError, UnreachableError
from celeryctl.storage import database as models
from celeryctl.storage import schema

from .database import Database

START = 60  # seconds that a program may take until it works
AGAIN = 1  # seconds until it is started once more
PATIENCE = 4  # times the bound: how long a test waits for what has to come within the bound
UNDER_WAY = "SELECT count(*) FROM batches WHERE token IS NOT NULL AND due > now()"
ASKED = "SELECT count(*) FROM runs WHERE followers <> '{}'"
HOLDERS = "SELECT holder FROM batches WHERE token IS NOT NULL AND due > now() ORDER BY due DESC"
ALIVE = "SELECT count(*) FROM workers WHERE seen_at > now() - interval '10 seconds'"
LEFT_OPEN = "SELECT (SELECT count(*) FROM runs WHERE status = 'running') + (SELECT count(*) FROM batches)"
ROWS = """
SELECT (SELECT count(*) FROM users), (SELECT count(DISTINCT external_id) FROM users),
       (SELECT count(*) FROM addresses), (SELECT count(DISTINCT user_id) FROM addresses),
       (SELECT count(*) FROM credit_cards), (SELECT count(DISTINCT user_id) FROM credit_cards)
"""
# What is counted for ever is what the runs counted: of what was done twice, or not to its end, neither knows.
COUNTED = "SELECT dataset, label, value::bigint FROM totals WHERE name = 'rows' ORDER BY 1, 2"
ADDED_UP = """
SELECT dataset, label, sum(rows)::bigint FROM runs, LATERAL (VALUES ('created', created), ('updated', updated),
  ('unchanged', unchanged), ('rejected', rejected)) AS v (label, rows)
GROUP BY 1, 2 HAVING sum(rows) > 0 ORDER BY 1, 2
"""

Recovery = Callable[[float, float], None]


@dataclass
class Stage:
    """Database, broker, sources and the programs that work with them, reached over relays where a test wants some."""

    folder: Path
    users: int
    database: Database
    broker: Broker
    variables: dict[str, str]
    programs: ExitStack = field(default_factory=ExitStack)
    workers: dict[str, Process] = field(default_factory=dict)
    beats: dict[str, Process] = field(default_factory=dict)
    to_broker: Relay | None = None
    to_database: Relay | None = None

    def worker(self, name: str = "worker", *options: str) -> Process:
        """Start a worker with two processes, and wait until it takes tasks."""
        words = ["celeryctl", "worker", "-c", "2", "-n", f"{name}@%h", *options]
        self.workers[name] = self.supervised(" ready.", name, *words)
        return self.workers[name]

    def beat(self, name: str = "beat", *options: str, before: tuple[str, ...] = ()) -> Process:
        """Start a beat, and wait until it has found all that it refuses to start without."""
        self.beats[name] = self.supervised("beat: Starting", name, "celeryctl", "beat", *options, before=before)
        return self.beats[name]

    def fetch(self, *words: str) -> Process:
        """Start a client that waits."""
        return self.program("fetch", "celeryctl", "fetch", *words)

    def supervised(self, says: str, name: str, *words: str, before: tuple[str, ...] = ()) -> Process:
        """Start it, as a supervisor does again while it refuses because a server is away; wait until it says that."""
        until = time.monotonic() + START
        while True:
            started = self.program(name, *words, before=before)
            eventually(lambda: says in started.text or not started.lives, within=START)  # noqa: B023 - at once
            if says in started.text:
                return started
            assert started.ended() == UnreachableError.exit_code, started.text
            assert time.monotonic() < until, started.text
            pass_time(AGAIN)

    def program(self, name: str, *words: str, before: tuple[str, ...] = ()) -> Process:
        """Start it. What it says is in a file of its own, numbered where others of its name were before."""
        logs = (self.folder / f"{name}{number or ''}.log" for number in itertools.count())
        log = next(path for path in logs if not path.exists())
        return self.programs.enter_context(process(words, log, self.variables, before=before))

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command from its beginning to its end."""
        return run(self.variables, self.folder, *words)

    def until_under_way(self) -> None:
        """Wait until a client has asked for everything, and somebody is working on a batch."""
        eventually(lambda: value(ASKED) > 0, within=60)
        eventually(lambda: value(UNDER_WAY) > 0, within=60)

    def until_under_way_again(self) -> bool:
        """Wait until somebody is working once more; False when everything was done before."""
        return eventually(lambda: value(UNDER_WAY) > 0 or self.is_complete(), within=60) and not self.is_complete()

    def holder(self) -> Process:
        """A worker that is working on a batch at this moment."""
        found = eventually(lambda: rows(HOLDERS), within=60)
        return self.workers[str(found[0][0]).partition("@")[0]]

    def recovered(self, recovery: Recovery, *, bound: float) -> None:
        """Wait until everything is as it has to be, and note how long that took."""
        began = time.monotonic()
        eventually(self.is_complete, within=PATIENCE * bound)
        recovery(time.monotonic() - began, bound)
        self.audit()

    def is_complete(self) -> bool:
        """Every user has its rows, nothing is open, and nothing is left in the broker."""
        try:
            return bool(rows(ROWS) == [(self.users,) * 6] and value(LEFT_OPEN) == 0 and not any(self.left_in_broker()))
        except (CeleryctlError, redis.RedisError):
            return False  # a server is still away

    def audit(self) -> None:
        assert rows(ROWS) == [(self.users,) * 6]
        assert value(LEFT_OPEN) == 0
        assert self.left_in_broker() == (0, 0)
        assert rows(COUNTED) == rows(ADDED_UP)

    def left_in_broker(self) -> tuple[int, int]:
        """How many messages wait, and how many are not acknowledged."""
        with closing(redis.Redis.from_url(self.broker.url)) as client:
            return int(client.llen("celery")), int(client.hlen("unacked"))  # type: ignore[arg-type]


Strike = Callable[[Stage], AbstractContextManager[Any]]  # undone at the end of the block


def children(program: Process) -> list[psutil.Process]:
    """The processes of a worker's pool."""
    return psutil.Process(program.pid).children()


def kill(process: psutil.Process | Process) -> None:
    """-9, this process alone."""
    os.kill(process.pid, signal.SIGKILL)


def pass_time(seconds: float) -> None:
    """A fault lasts so long."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > until, within=seconds + 10)


@contextmanager
def new_stage(
    folder: Path,
    *,
    users: int = 400,
    latency: float = 0.2,
    broker_settings: tuple[str, ...] = (),
    relays: bool = False,
    **more: str,
) -> Iterator[Stage]:
    """Servers and sources of its own for one test. ``relays`` puts one before broker and database.

    ``broker_settings`` are lines for Valkey's configuration; ``more`` are settings of the cluster.
    """
    with ExitStack() as stack:
        database = Database(stack.enter_context(temporary_home()))
        broker = Broker(folder, *broker_settings)
        stack.callback(broker.stop)
        broker.start()
        models.configure(database.url)
        stack.callback(models.close)
        schema.migrate([])
        stage = Stage(folder, users, database, broker, {})
        urls = {"database_url": database.url, "redis_url": broker.url}
        if relays:
            stage.to_database = stack.enter_context(relay("127.0.0.1", ("127.0.0.1", database.port)))
            stage.to_broker = stack.enter_context(relay("127.0.0.1", ("127.0.0.1", broker.port)))
            urls["database_url"] = database.url.replace(f":{database.port}/", f":{stage.to_database.port}/")
            urls["redis_url"] = broker.url.replace(f":{broker.port}/", f":{stage.to_broker.port}/")
        address = stack.enter_context(sources(users, latency))
        stage.variables = settings(**urls, folder=folder, api=address, **{"BATCH_SIZE": "100", **more})
        stack.enter_context(stage.programs)
        yield stage
