"""The broker as docker-compose.yml starts it: its start script, its users, on a port of this machine."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import yaml
from waiting import eventually

from celeryctl.local import wheels
from celeryctl.local.ports import free_port

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICE = SERVICES["redis"]
USERS = {"worker": "REDIS_WORKER_PASSWORD", "beat": "REDIS_BEAT_PASSWORD", "viewer": "REDIS_VIEWER_PASSWORD"}
PASSWORDS = {variable: f"{name}-secret" for name, variable in USERS.items()}
ACL = (ROOT / "deploy/redis.acl").read_text()
ADMIN = "user admin on >admin-secret ~* &* +@all"  # for the tests alone: who looks into the log


def servers() -> list[str]:
    """The servers of this machine: the embedded Valkey, and Debian's Redis where that is installed."""
    return [name for name in ("valkey-server", "redis-server") if name == "valkey-server" or shutil.which(name)]


@dataclass
class Composed:
    port: int
    folder: Path
    command: list[str]
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        try:
            eventually(lambda: answers(self.url("admin")) or self.process.poll() is not None)
            assert self.process.poll() is None, (self.folder / "log").read_text()
        except BaseException:
            self.stop()
            raise

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(10)

    def again(self) -> None:
        """Stop it as Docker does, and start it with what it has kept."""
        self.stop(signal.SIGTERM)
        self.start()

    def url(self, user: str) -> str:
        return f"redis://{user}:{user}-secret@127.0.0.1:{self.port}/0"

    def log(self) -> list[tuple[str, str]]:
        """What was refused since it was asked last: to whom, and which command, key or channel."""
        with closing(redis.Redis.from_url(self.url("admin"), decode_responses=True)) as admin:
            found: Any = admin.acl_log()
            admin.acl_log_reset()
        return sorted({(entry["username"], entry["object"]) for entry in found})


def script(folder: Path, server: str, port: int) -> str:
    """The start script, with its files and the ACL file in this folder, and one more user."""
    moved = str(SERVICE["command"][-1]).replace("$$", "$").replace("/tmp/", f"{folder}/").replace("/tmp ", f"{folder} ")
    moved = moved.replace("/etc/celeryctl/", f"{folder}/").replace("--dir /data ", f"--dir {folder} ")
    start = f"printf '\n{ADMIN}\n' >> {folder}/users.acl\nexec {server} --port {port} --bind 127.0.0.1 "
    assert moved.count("exec redis-server ") == 1
    return moved.replace("exec redis-server ", start)


def environment(**passwords: str) -> Mapping[str, str]:
    """What Compose gives the container of the secrets that it demands."""
    given = PASSWORDS | passwords
    filled = {name: value.split(":?")[0].removeprefix("${") for name, value in SERVICE["environment"].items()}
    return {"PATH": os.environ["PATH"]} | {name: given[variable] for name, variable in filled.items()}


@contextmanager
def composed(server: str = "valkey-server", *, acl: str = ACL, **passwords: str) -> Iterator[Composed]:
    """One that runs; every user's password is its name and "-secret", unless it is given by its variable."""
    program = shlex.quote(str(wheels.valkey())) if server == "valkey-server" else server
    with tempfile.TemporaryDirectory(prefix="celeryctl-tests-") as name:
        folder, port = Path(name), free_port()
        (folder / "redis.acl").write_text(acl)
        one = Composed(
            port, folder, [*SERVICE["command"][:-1], script(folder, program, port)], environment(**passwords)
        )
        one.start()
        try:
            yield one
        finally:
            one.stop()


def is_well(service: str, port: int) -> bool:
    """What the service's healthcheck says of what listens on this port."""
    kind, *command = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    moved = [re.sub(r"(?<=/127\.0\.0\.1/)\d+", str(port), word) for word in command]
    return subprocess.run(moved, capture_output=True, check=False, timeout=20).returncode == 0


def answers(url: str) -> bool:
    with closing(redis.Redis.from_url(url)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
