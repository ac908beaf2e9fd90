"""The process of the embedded PostgreSQL: set up, started and stopped with the binaries of a wheel.

Every process of the server, and of its initdb, inherits from us a lock on `server.lock`. As long as it is held the
server lives, whatever its pid file says; once it is free nothing of it is left. Commands run in the server's own folder
and name files relative to it, because pg_ctl hands them to a shell, and because a path may be too long or hold a space.
"""

import fcntl
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import psutil

from celeryctl.errors import LocalServerError
from celeryctl.home import held
from celeryctl.local import wheels
from celeryctl.local.account import SYSTEM, Account
from celeryctl.local.logfiles import log_file, open_log
from celeryctl.local.ports import free_port

PORTS_TO_TRY = 5
STOP_WITHIN = 60.0
INITDB = (
    *("--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    # A statement, its parameters, an error's DETAIL and even its message hold rows: none of them may reach the log.
    # Whoever made the statement is told all the same. The warnings and errors of the server's own processes go with
    # them; what it says of logins, of its start and of its end stands there.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class Postmaster:
    """The server over the data in an account's folder. Its caller sees to it that nobody else does the same."""

    def __init__(self, home: Path, *, ports: Callable[[], int] = free_port) -> None:
        self.home = home
        self._ports = ports
        self.log = log_file(home, "postgres")
        self.see_log = f"less {shlex.quote(str(self.log))}"
        self.account = Account.of(home)
        self.data = self.account.folder / "data"
        self._lock = self.account.folder / "server.lock"

    @property
    def alive(self) -> bool:
        """Whether any process of the server is there; it may not answer yet."""
        return held(self._lock)

    @property
    def port(self) -> int | None:
        """Where the server listens, or None when it does not, or not yet."""
        # After a kill -9 the port in the pid file may be anybody's, who would be told the password.
        lines = self._pid_file() if self.alive else []
        return int(lines[3]) if len(lines) > 3 and lines[3].isdecimal() else None

    @cached_property
    def binaries(self) -> Path:
        """The folder of executables that the account can run. Raises LocalServerError."""
        found = wheels.postgres()
        # initdb shows whether the shared libraries can be reached, too.
        return found if self.account.can_run(found / "initdb") else wheels.published(SYSTEM)

    def set_up(self, password: str) -> None:
        """Make the data folder, which appears only when it is complete. Raises LocalServerError."""
        self.account.prepare()
        unfinished = self.data.with_name("data.new")
        with self._inheritable() as lock, self.account.secret(password) as file:
            shutil.rmtree(unfinished, ignore_errors=True)
            command = (self.binaries / "initdb", f"--pwfile={file}", *INITDB, "-D", unfinished.name)
            done = self.account.run(*command, pass_fds=[lock])
        if done.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            fix = f"df -h {shlex.quote(str(self.account.folder.parent))}"
            raise LocalServerError("the embedded PostgreSQL cannot be set up", why=_reason(done.stderr), fix=fix)
        unfinished.rename(self.data)

    def start(self) -> None:
        """Start the server unless it lives, and wait until it accepts connections. Raises LocalServerError."""
        if self.alive:
            return
        # Left by a kill -9. Its pid may by now be another process's, which PostgreSQL would take for a server.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for _ in range(PORTS_TO_TRY):
            complaint = self._launch(self._ports())
            if complaint is None or self.alive:
                return
            if "Address already in use" not in complaint:
                break
        raise LocalServerError("the embedded PostgreSQL does not start", why=complaint or "", fix=self.see_log)

    def _launch(self, port: int) -> str | None:
        settings = {"port": port, **SETTINGS}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        command = (self.binaries / "pg_ctl", "start", "-D", self.data.name, "-s", "-w", "-t", "120", "-o", options)
        with self._inheritable() as lock, open_log(self.home, "postgres") as log:
            before = log.tell()
            # An open file is inherited even where the account cannot reach the log by its name.
            done = self.account.run(*command, stdout=log, pass_fds=[lock])
        return _reason(self._log_since(before) or done.stderr) if done.returncode else None

    @contextmanager
    def _inheritable(self) -> Iterator[int]:
        """Wait until nothing of a server, nor of an initdb, is left, and lock it for those that inherit the file."""
        with self.account.translated():
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            # Only closed, never unlocked: that would unlock it for the server, too.
            os.close(descriptor)

    def _log_since(self, position: int) -> str:
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        """Stop the server, whoever is connected, and wait until it is gone. Raises LocalServerError."""
        mode, deadline = "fast", time.monotonic() + STOP_WITHIN
        while self.alive:
            if time.monotonic() > deadline:
                why = f"it is still there after {STOP_WITHIN:.0f} s"
                raise LocalServerError("the embedded PostgreSQL does not stop", why=why, fix=self.see_log)
            if (process := self._process()) is None:
                # It is just starting, or its last processes are going.
                time.sleep(0.02)
                continue
            command = ("stop", "-D", self.data.name, "-s", "-m", mode, "-t", "20")
            mode = "immediate" if self.account.run(self.binaries / "pg_ctl", *command).returncode else "fast"
            # Whoever adopted it buries it in a moment; that may be ourselves, in a container.
            with suppress(psutil.TimeoutExpired):
                process.wait(0.1)

    def _process(self) -> psutil.Process | None:
        """The server that the pid file names; pg_ctl would send its signal to any process of that number."""
        lines = self._pid_file()
        try:
            process = psutil.Process(int(lines[0]))
            return process if process.name() == "postgres" else None
        except (psutil.Error, ValueError, IndexError):
            return None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []


def _reason(text: str) -> str:
    """The lines of the output that say what went wrong, without times, the last three at most."""
    lines = [re.sub(r"^[-\d]+ [\d:.]+ \w+ \[\d+\] ", "", line).strip() for line in text.splitlines()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:|could not", line)] or lines
    return "; ".join(line for line in telling[-3:] if line)
