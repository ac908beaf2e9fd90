"""A broker that can be stopped and started again at the same place."""

import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis
from leakcheck import note_broker
from waiting import eventually

from celeryctl.local import wheels
from celeryctl.local.ports import free_port


class Broker:
    """Valkey on a port that stays the same. ``settings`` are further lines of its configuration."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder, self.port, password = folder, free_port(), secrets.token_hex(8)
        self.url = f"redis://:{password}@127.0.0.1:{self.port}/0"
        lines = (f"port {self.port}", "bind 127.0.0.1", f"requirepass {password}", 'save ""', *settings)
        (folder / "valkey.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([wheels.valkey(), "valkey.conf"], cwd=self._folder, stdout=log, stderr=log)
        eventually(self._answers)
        note_broker(self.url)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with closing(redis.Redis.from_url(self.url)) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@contextmanager
def new_broker() -> Iterator[Broker]:
    """One that runs."""
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
