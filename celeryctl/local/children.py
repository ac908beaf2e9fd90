"""The child processes of `up`: each in a session of its own, its output in a log file of its own."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from celeryctl.errors import CeleryctlError
from celeryctl.local.gate import gated
from celeryctl.local.logfiles import log_file, open_log
from celeryctl.local.restarts import Kept
from celeryctl.settings import without_secrets

GRACE = 10.0  # seconds that a child has to finish what it is doing
DEATH_WITHIN = 5.0
LAST_LINES = 5
SAME = 2.0  # seconds by which two looks at the start of one process may differ


@dataclass(frozen=True, slots=True)
class Child:
    """A process that we started with these arguments, and where in its log its own words begin."""

    name: str
    arguments: tuple[str, ...]
    process: psutil.Popen
    log: Path
    begin: int

    def said(self) -> str:
        """What it has written so far; since then the file may have begun anew."""
        with self.log.open("rb") as file:
            file.seek(self.begin if self.begin <= file.seek(0, os.SEEK_END) else 0)
            return file.read().decode(errors="replace")

    def last_words(self) -> str:
        """The end of that, on one line."""
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return " / ".join(lines[-LAST_LINES:]) or "it left no word"

    def record(self) -> dict[str, Any]:
        """What another process needs to find this one: a pid alone may by then be another's."""
        return {"name": self.name, "pid": self.process.pid, "created": created(self.process)}


class Children:
    """All children of this process. ``changed`` is called with their records whenever one was added."""

    def __init__(
        self, home: Path, environ: Mapping[str, str], *, changed: Callable[[Sequence[dict[str, Any]]], None]
    ) -> None:
        self.environ = dict(environ)
        self._home, self._changed = home, changed
        self._children: dict[str, Child] = {}

    def start(self, name: str, *arguments: str) -> Child:
        """Start ``celeryctl`` with these arguments; its output goes to ``logs/NAME.log``."""
        return launch(self._home, name, arguments, self.environ_of(name), self._note)

    def environ_of(self, name: str) -> dict[str, str]:
        """What this child finds in its environment, however often it is started."""
        environ = dict(self.environ)
        if name == "api":
            without_secrets(environ)  # it answers strangers, and works with none of them
        return environ

    def _note(self, child: Child) -> None:
        self._children[child.name] = child
        self._changed([child.record() for child in self._children.values()])

    @property
    def names(self) -> list[str]:
        return list(self._children)

    def kept(self) -> list[Kept]:
        """The children, each to be started again as it was where it ends by itself."""
        children = self._children.values()
        return [Kept(one.name, partial(_ended, one), partial(self._again, one)) for one in children]

    def _again(self, child: Child) -> None:
        self.start(child.name, *child.arguments)

    def check(self) -> None:
        """Raise CeleryctlError, with its last words, when a child has ended."""
        for child in self._children.values():
            code = child.process.poll()
            if code is not None:
                what = f"{child.name} has ended ({_how(code)})"
                raise CeleryctlError(what, why=child.last_words(), fix=f"celeryctl logs {child.name}")

    def stop(self, *, hurry: Callable[[], bool]) -> None:
        """End them all, the sources last: a worker may still be asking them. ``hurry`` ends the time of grace."""
        for sources in (False, True):
            group = [child.process for child in self._children.values() if (child.name == "api") == sources]
            end(group, hurry=hurry)
        self._children.clear()


def launch(
    home: Path,
    name: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    note: Callable[[Child], None] = lambda _: None,
) -> Child:
    """Start ``celeryctl`` with these arguments where no Ctrl-C of our terminal reaches it; its words go to the log.

    It begins once it is noted.
    """
    # -P: what lies in the folder that we were called in must not take the place of a module.
    command = [sys.executable, "-P", "-m", "celeryctl", *arguments]
    with open_log(home, name) as log:
        begin = log.tell()
        with gated(psutil.Popen, command, env=environ, stdout=log, stderr=log) as process:
            child = Child(name, tuple(arguments), process, log_file(home, name), begin)
            note(child)
    return child


def _ended(child: Child) -> str | None:
    """How it has ended, after which nothing of its group is left; None while it lives."""
    code = child.process.poll()
    if code is None:
        return None
    _kill_group(child.process)
    return f"has ended ({_how(code)})"


def created(process: psutil.Process) -> float | None:
    """When the process began; None when it is gone."""
    try:
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def find(record: Mapping[str, Any]) -> psutil.Process | None:
    """The living process that a record tells of, unless its pid is another's by now."""
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["created"]) < SAME
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None
    return process if same and lives(process) else None


def end(processes: Iterable[psutil.Process], *, hurry: Callable[[], bool] = lambda: False) -> None:
    """Ask processes that lead their sessions to end; after a time of grace kill them, and what they left behind."""
    alive = leaders = [process for process in processes if lives(process)]
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + GRACE
    while (alive := list(filter(lives, alive))) and time.monotonic() < deadline and not hurry():
        time.sleep(0.02)
    for process in leaders:
        # Also for those that ended: nothing of their group may outlive them.
        _kill_group(process)
    deadline = time.monotonic() + DEATH_WITHIN
    while (alive := list(filter(lives, alive))) and time.monotonic() < deadline:
        time.sleep(0.01)


def _kill_group(leader: psutil.Process) -> None:
    # macOS refuses it for a group of zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)


def lives(process: psutil.Process) -> bool:
    """Whether it still does something; a zombie does not."""
    if isinstance(process, psutil.Popen) and process.poll() is not None:
        return False
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
