"""The source APIs: nginx with its Lua module, which costs next to nothing; where it is missing, `celeryctl api`."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.processes import environment, running, until
from celeryctl.local.ports import free_port

HERE = Path(__file__).resolve().parent / "api"
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
SBIN = "/usr/sbin:/usr/local/sbin"  # not on everybody's PATH
LOOPBACK = "127.0.0.1"


class Nginx:
    """One server for all sizes and latencies: they stand in the path."""

    name = "nginx with Lua"

    def __init__(self, port: int) -> None:
        self.port = port

    def base(self, users: int, delay: int, host: str = LOOPBACK) -> str:
        """Where an API is found that has so many users and takes ``delay`` milliseconds."""
        return f"http://{host}:{self.port}/{users}/{delay}"


class OwnApi:
    """`celeryctl api`, one process for every size and latency. It takes a good part of a core."""

    name = "celeryctl api (nginx or its Lua module is not installed: what is measured under load is worse than it is)"

    def __init__(self, folder: Path, processes: ExitStack, hosts: Sequence[str]) -> None:
        self._folder, self._processes = folder, processes
        self._host = LOOPBACK if tuple(hosts) == (LOOPBACK,) else "0.0.0.0"  # noqa: S104 - hosts of our own making
        self._ports: dict[tuple[int, int], int] = {}

    def base(self, users: int, delay: int, host: str = LOOPBACK) -> str:
        """Where an API is found that has so many users and takes ``delay`` milliseconds."""
        if (users, delay) not in self._ports:
            self._ports[users, delay] = self._start(users, delay)
        return f"http://{host}:{self._ports[users, delay]}"

    def _start(self, users: int, delay: int) -> int:
        port, log = free_port(), self._folder / f"api-{users}-{delay}.log"
        options = ("--host", self._host, "--port", str(port), "--users", str(users), "--latency", str(delay))
        command = (sys.executable, "-m", "celeryctl", "api", *options)
        child = self._processes.enter_context(running(command, env=environment(), folder=self._folder, log=log))
        until(lambda: _answers(port), child, log)
        return port


Api = Nginx | OwnApi


@contextmanager
def serving(folder: Path, hosts: Sequence[str] = (LOOPBACK,)) -> Iterator[Api]:
    """The APIs on a free port of these addresses of ours, for the time of the block."""
    executable = shutil.which("nginx", path=os.environ.get("PATH", "") + ":" + SBIN)
    modules = next((place for place in MODULES if Path(place, "ngx_http_lua_module.so").exists()), None)
    with ExitStack() as processes:
        if executable is None or modules is None:
            yield OwnApi(folder, processes, hosts)
            return
        port, log = free_port(), folder / "nginx.log"
        configuration = _configure(folder, modules, [f"{host}:{port}" for host in hosts])
        command = (executable, "-p", folder, "-e", "stderr", "-c", configuration)
        child = processes.enter_context(running(command, env=environment(), folder=folder, log=log))
        until(lambda: _answers(port), child, log)
        yield Nginx(port)


def _configure(folder: Path, modules: str, listen: Sequence[str]) -> Path:
    values = {
        # Its worker reads the Lua file, which may lie where only root can.
        "USER": "user root;" if os.geteuid() == 0 else "",
        "MODULES": modules,
        "HOME": str(folder),
        "HERE": str(HERE),
        "LISTEN": " ".join(f"listen {address} backlog=1024;" for address in listen),
    }
    text = (HERE / "nginx.conf.in").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    file = folder / "nginx.conf"
    file.write_text(text)
    return file


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
