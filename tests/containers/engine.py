"""A Docker engine for one test: in namespaces of its own, so that nothing of it stays on this machine.

Its bridges, its rules of iptables, its mounts and its processes end with it, and its published ports collide with
nobody's. No container reaches further than the others: what the stack does, it does without the internet.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from waiting import eventually

PROGRAMS = ("dockerd", "docker", "docker-compose", "mmdebstrap", "ip", "unshare", "nsenter", "setpriv")
# What ends unshare ends all that it started; and so does the end of the tests, however they end.
NAMESPACES = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--net", "--pid", "--mount-proc", "--kill-child")
CGROUPS = Path("/sys/fs/cgroup")


class EngineError(Exception):
    """No engine can run here. The message says why."""


@dataclass(frozen=True)
class Engine:
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def environ(self) -> dict[str, str]:
        """For docker and docker-compose: this engine, and nothing of the person who runs the tests."""
        own = {"HOME": str(self.folder), "DOCKER_HOST": f"unix://{self.folder}/docker.sock", "DOCKER_BUILDKIT": "0"}
        # The engine needs no proxy, and Compose would hand one on to the containers.
        return {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR"}} | own

    def docker(self, *arguments: str | Path, check: bool = True) -> str:
        return said(["docker", *map(str, arguments)], self.environ, check=check)

    def kill(self, pid: int, signal: str) -> None:
        """Send a signal to a process by the number that it has for the engine."""
        dockerd = psutil.Process(self.process.pid).children()[0]
        said(["nsenter", f"--target={dockerd.pid}", "--pid", "kill", "-s", signal, str(pid)], dict(os.environ))


def said(command: list[str], environ: dict[str, str], *, check: bool = True, cwd: Path | None = None) -> str:
    """What a command prints on stdout. Where it has to succeed and does not, AssertionError with all that it said."""
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def needed() -> None:
    """Raises EngineError where an engine cannot even be tried."""
    if os.geteuid() != 0:
        raise EngineError("a Docker engine has to be started by root")
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        raise EngineError(f"not installed: {', '.join(missing)} (apt-get install docker.io docker-compose mmdebstrap)")


@contextmanager
def engine() -> Iterator[Engine]:
    """One that answers. Raises EngineError with the reason, in dockerd's words where it was tried."""
    needed()
    # Not pytest's folder: the path of a socket may have no more than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="celeryctl-docker-"))
    log = folder / "dockerd.log"
    places = f"--data-root={folder}/data --exec-root={folder}/exec --pidfile={folder}/pid"
    options = f"{places} --host=unix://{folder}/docker.sock --cgroup-parent={folder.name}"
    start = f"ip link set lo up; exec dockerd {options}"
    with log.open("wb") as out:
        process = subprocess.Popen([*NAMESPACES, "sh", "-c", start], cwd=folder, stdout=out, stderr=out)
    try:
        one = Engine(folder, process)
        eventually(lambda: process.poll() is not None or one.docker("version", check=False).count("Version:") > 1)
        if process.poll() is not None:
            raise EngineError(f"dockerd does not start here: {log.read_text().strip().splitlines()[-1]}")
        yield one
    finally:
        end(process)
        remove(folder)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill dockerd, the first process of its namespace: once it has ended, so have all others there."""
    if process.poll() is None:
        for one in psutil.Process(process.pid).children() or [process]:
            one.kill()
    process.wait()


def remove(folder: Path) -> None:
    """The folder, and the groups of processes that the kernel keeps beyond their last process."""
    shutil.rmtree(folder)
    for group in CGROUPS.glob(f"*/{folder.name}"):
        for one in sorted((group, *filter(Path.is_dir, group.rglob("*"))), reverse=True):
            one.rmdir()
