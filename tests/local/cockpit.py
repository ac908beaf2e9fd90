"""A person's terminal for the tests of `up`: real command lines in a folder, and what is left running in it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import psutil
from leakcheck import note
from servers import dispose
from waiting import eventually

from celeryctl.local.account import Account

CELERYCTL = (sys.executable, "-m", "celeryctl")


@dataclass
class Cockpit:
    """Command lines in ``folder``, which finds its home as a person's would: no setting names it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    command: Sequence[str] = CELERYCTL
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / ".celeryctl"

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start it in a session of its own and come back; its words can be read from the pipes."""
        environment = {name: value for name, value in os.environ.items() if name != "CELERYCTL_HOME"}
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder, **options}
        process = subprocess.Popen(
            [*self.command, *arguments], env={**environment, **self.environment}, stdin=subprocess.DEVNULL,
            text=True, encoding="utf-8", start_new_session=True, **given,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=90)
        note(*filter(None, (out, err)))
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def ok(self, *arguments: str, **options: Any) -> str:
        """What it prints when all is well."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done
        return done.stdout

    def up(self, *arguments: str) -> "subprocess.Popen[str]":
        """An `up` with the local sources in the foreground, as soon as it works."""
        process = self.start("up", "--sources", "local", *arguments)
        eventually(lambda: self.is_ready(process.pid) or process.poll() is not None, within=60)
        assert process.poll() is None, process.communicate()
        return process

    def filled(self, *arguments: str) -> "subprocess.Popen[str]":
        """An `up` whose first round is over."""
        process = self.up(*arguments)
        eventually(lambda: json.loads(self.ok("stats", "--json"))["users_with_both"], within=60)
        return process

    def until_filled(self) -> None:
        """Wait for the end of the first round: an `up` is ready before that."""
        eventually(lambda: json.loads(self.ok("stats", "--json"))["users_with_both"] == 10, within=60)

    def until_beat(self) -> None:
        """Wait for a beat of the `up` that runs."""
        name = f"beat{self.child('beat').pid}@{socket.gethostname()}"
        eventually(lambda: name in [one["name"] for one in json.loads(self.ok("stats", "--json"))["beats"]], within=60)

    def is_ready(self, pid: int) -> bool:
        return self.document().get("pid") == pid and bool(self.document()["ready"])

    def document(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.home / "up.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def child(self, name: str) -> psutil.Process:
        return psutil.Process(self.pid(name))

    def pid(self, name: str) -> int:
        """A child's pid, whether it still lives or not."""
        return next(int(one["pid"]) for one in self.document()["processes"] if one["name"] == name)

    def left(self) -> list[psutil.Process]:
        """Every process of this machine that works in the folder or in that of its database."""
        places = (self.folder.resolve(), Account.of(self.home).folder.resolve())
        return [process for process in psutil.process_iter() if _works_in(process, places)]

    def clear(self) -> None:
        """End what a failed test has left; by then nothing should be there."""
        for process in self.left():
            process.kill()
        for started in self.started:
            started.communicate()


@contextmanager
def new_cockpit() -> Iterator[Cockpit]:
    """A terminal in a folder that has no home yet. At the end nothing is left running in it."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        cockpit = Cockpit(Path(folder))
        try:
            yield cockpit
            left = cockpit.left()
        finally:
            cockpit.clear()
            dispose(cockpit.home)
        assert not left


def _works_in(process: psutil.Process, places: Sequence[Path]) -> bool:
    try:
        where = Path(process.cwd())
    except psutil.Error:
        return False
    return where.is_absolute() and any(where.is_relative_to(place) for place in places)


def ended(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> tuple[int, str, str]:
    """Send a signal once, and see how it ends."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def listens(port: int) -> bool:
    """Whether somebody does there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def two_ports() -> int:
    """A port that is free like the next one. Below those that Linux gives to whoever asks for any."""
    # Not of `random`, which begins alike in all processes of the tests.
    ports = (10_000 + secrets.randbelow(22_000) for _ in repeat(None))
    return next(port for port in ports if not listens(port) and not listens(port + 1))
