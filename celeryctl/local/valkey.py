"""The embedded Valkey of a home: a broker whose contents may be lost at any time, so it writes nothing to the disk."""

import json
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeryctl.errors import LocalServerError
from celeryctl.home import create, distrust, read_own, write_private
from celeryctl.local import children, wheels
from celeryctl.local.account import ENVIRONMENT
from celeryctl.local.gate import gated
from celeryctl.local.logfiles import log_file, open_log
from celeryctl.local.ports import free_port

PORTS_TO_TRY = 5
ANSWER_WITHIN = 10.0
STOP_WITHIN = 1.0
# It logs to what it inherits and works in its own folder: no path needs quoting here.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
shutdown-on-sigterm nosave
"""


class Valkey:
    """The broker of this home. Only the process that holds the home's `up.lock` may start it."""

    def __init__(self, home: Path, *, ports: Callable[[], int] = free_port) -> None:
        self._ports = ports
        self.home = home.absolute()
        self.log = log_file(self.home, "valkey")
        self._folder = self.home / "valkey"
        self._state = self._folder / "valkey.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._place = 0, ""  # port and password

    @property
    def alive(self) -> bool:
        """Whether the server that this object has started is still there."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> str:
        """Start it with a new password on a free port, and return its URL. Raises LocalServerError or HomeError.

        One that a killed predecessor left behind is stopped first.
        """
        create(self.home)
        executable = wheels.valkey()
        self.stop()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for _ in range(PORTS_TO_TRY):
            self._place = self._ports(), secrets.token_hex(32)
            if url := self._launch(executable, *self._place):
                return url
        raise self._refusal()

    def start_again(self) -> None:
        """Start it where it was, with the password that it had, after it has ended. Raises LocalServerError."""
        self.stop()
        if not self._launch(wheels.valkey(), *self._place):
            raise self._refusal()

    def _refusal(self) -> LocalServerError:
        fix = f"less {shlex.quote(str(self.log))}"
        return LocalServerError("the embedded Valkey does not start", why=self._last_words(), fix=fix)

    def _launch(self, executable: Path, port: int, password: str) -> str | None:
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        write_private(self._folder / "valkey.conf", CONFIGURATION.format(port=port, password=password))
        with open_log(self.home, "valkey") as log, self._gated(executable, log) as child:
            created = psutil.Process(child.pid).create_time()
            state = {"url": url, "pid": child.pid, "created": created}
            write_private(self._state, json.dumps(state))
        self._child = child
        return url if self._answers(url, child) else None

    @contextmanager
    def _gated(self, executable: Path, log: Any) -> Iterator[subprocess.Popen[bytes]]:
        try:
            with gated(
                subprocess.Popen[bytes],
                [executable, "valkey.conf"],
                cwd=self._folder,
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
                umask=0o077,
            ) as child:
                yield child
        except OSError as error:
            why = error.strerror or str(error)
            raise LocalServerError("the embedded Valkey does not start", why=why, fix="celeryctl doctor") from error

    def _answers(self, url: str, child: "subprocess.Popen[bytes]") -> bool:
        """Whether it answers in time; it is gone if it does not."""
        deadline = time.monotonic() + ANSWER_WITHIN
        with closing(_client(url)) as client:
            while child.poll() is None and time.monotonic() < deadline:
                with suppress(redis.RedisError):
                    return bool(client.ping())
                time.sleep(0.01)
        self.stop()
        return False

    def stop(self) -> None:
        """Stop what this home has running, whoever started it, and wait until it is gone. Raises LocalServerError."""
        if state := self._read():
            server = children.find(state)
            # Only our server knows the password: what else may listen on that port is left alone.
            with closing(_client(state["url"])) as client, suppress(redis.RedisError):
                client.shutdown(nosave=True)
            if server is not None:
                _wait(server)
            self._state.unlink(missing_ok=True)
        if self._child is not None:
            self._child.wait(STOP_WITHIN)
            self._child = None

    def _read(self) -> dict[str, Any] | None:
        if distrust(self.home) or not self._state.exists():
            return None
        state: dict[str, Any] = json.loads(read_own(self._state))
        return state

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        telling = [line for line in lines[-20:] if " # " in line] or lines
        return telling[-1].split(" # ")[-1] if telling else ""


def _client(url: str) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, retry=once, socket_timeout=1, socket_connect_timeout=1)


def _wait(server: psutil.Process) -> None:
    """Wait for the end of the process, and bring it about if it does not come."""
    deadline = time.monotonic() + STOP_WITHIN
    with suppress(psutil.NoSuchProcess):
        # A dead process may wait long for whoever adopted it to bury it.
        while server.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                # Nothing is lost with it: it keeps nothing.
                server.kill()
            time.sleep(0.005)
    with suppress(psutil.TimeoutExpired):
        server.wait(0.1)
