"""A cluster for the tests: real processes of `python -m celeryctl`, and the sources served beside them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from leakcheck import note
from servers import KEY
from waiting import eventually

from celeryctl.local.sources import variables
from celeryctl.pipeline.context import Context
from celeryctl.settings import Environment, SourceDefaults, load
from celeryctl.storage.database import database, session

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody answers
SERVE = "import sys; from celeryctl.local.sources import serve; "
SERVE += (
    "serve('127.0.0.1', 0, users=int(sys.argv[1]), latency=float(sys.argv[2]), ready=lambda u: print(u, flush=True))"
)
PYTHON = [sys.executable, "-P", "-m"]


def settings(database_url: str, redis_url: str, folder: Path, *, api: str = NOWHERE, **more: str) -> dict[str, str]:
    """The variables of a cluster with servers of its own and every built-in source at ``api``."""
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CARD_ENCRYPTION_KEYS": KEY}
    return {**own, **variables(api), "CELERYCTL_HOME": str(folder / ".celeryctl"), "HTTP_MAX_TRIES": "2", **more}


def context(variables: dict[str, str], folder: Path) -> Context:
    """The same settings for this process."""
    from celeryctl import datasets

    found = datasets.load()
    defaults = [SourceDefaults(name, one.source.url, one.every) for name, one in found.items()]
    return Context(load(Environment.read(variables, folder), defaults), found)


class Process:
    """A program in a session of its own; all it says is in ``log``. ``before`` begins its command line."""

    def __init__(
        self,
        words: Sequence[str],
        log: Path,
        variables: dict[str, str],
        folder: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*before, *PYTHON, *words],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
                cwd=folder or log.parent,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def assert_says(self, text: str, *, times: int = 1, within: float = 30) -> None:
        """Wait until it has said that."""
        eventually(lambda: self.text.count(text) >= times or self._process.poll() is not None, within)
        assert self.text.count(text) >= times, self.text

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def end(self) -> int:
        """Ask it to end, and wait."""
        self.ask(signal.SIGTERM)
        return self.ended()

    def ask(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self, within: float = 30) -> int:
        """Its exit code, as soon as it has one."""
        return self._process.wait(within)

    def kill(self) -> None:
        """Nothing of it lives on: not a child either."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)


@contextmanager
def process(
    words: Sequence[str],
    log: Path,
    variables: dict[str, str],
    folder: Path | None = None,
    before: Sequence[str] = (),
) -> Iterator[Process]:
    started = Process(words, log, variables, folder, before)
    try:
        yield started
    finally:
        if started.lives:
            with suppress(subprocess.TimeoutExpired):
                started.end()
        started.kill()


@contextmanager
def worker(log: Path, variables: dict[str, str], *options: str) -> Iterator[Process]:
    """A worker that takes tasks."""
    with process(["celeryctl", "worker", "-c", "2", *options], log, variables) as started:
        started.assert_says(" ready.")
        yield started


@contextmanager
def sources(users: int = 10, latency: float = 0) -> Iterator[str]:
    """The local source APIs in a process of their own; yields their address."""
    program = [sys.executable, "-c", SERVE, str(users), str(latency)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, start_new_session=True) as served:
        try:
            assert served.stdout is not None
            yield served.stdout.readline().strip()
        finally:
            served.terminate()


def run(
    variables: dict[str, str], folder: Path, *words: str, program: str = "celeryctl"
) -> subprocess.CompletedProcess[str]:
    """A command from its beginning to its end."""
    done = subprocess.run(
        [*PYTHON, program, *words],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **variables},
        cwd=folder,
        check=False,
    )
    note(done.stdout, done.stderr)
    return done


def rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a query on the models' database gives."""
    with session():
        return list(database.execute_sql(statement, parameters or None).fetchall())


def value(statement: str, *parameters: Any) -> Any:
    return rows(statement, *parameters)[0][0]


def empty() -> None:
    """Empty every table but the workers': theirs live on from test to test."""
    with session():
        database.execute_sql("TRUNCATE users, runs, misses, sources RESTART IDENTITY CASCADE")
