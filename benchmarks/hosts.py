"""Other hosts, played by network namespaces: each has its own loopback and reaches this machine over its own wire."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.cluster import Node
from benchmarks.processes import environment, output
from benchmarks.row import MeasureError, NotHereError

# RFC 2544 sets these addresses aside for benchmarks.
NETWORK = "198.18.0.0/15"
ADDRESS = "198.18.{}.{}"
SBIN = "/usr/sbin:/sbin"  # not on everybody's PATH


def address(number: int) -> str:
    """Where the host of this number finds this machine."""
    return ADDRESS.format(number, 1)


@contextmanager
def connected(count: int) -> Iterator[list[Node]]:
    """So many hosts, for the time of the block. Raises NotHereError where this machine does not allow them."""
    ip = shutil.which("ip", path=os.environ.get("PATH", "") + ":" + SBIN)
    if ip is None:
        raise NotHereError("there is no `ip` here")
    if os.geteuid() != 0:
        raise NotHereError("only root may make network namespaces")
    with ExitStack() as stack:
        yield [stack.enter_context(_host(ip, number)) for number in range(1, count + 1)]


@contextmanager
def _host(ip: str, number: int) -> Iterator[Node]:
    # Interface names have 15 characters at most, a pid up to seven.
    space, wire = f"celeryctl-bench-{os.getpid()}-{number}", f"cb{os.getpid()}-{number}"
    try:
        _run(ip, "netns", "add", space)
    except MeasureError as exc:
        raise NotHereError(f"network namespaces are refused: {exc}") from None
    try:
        _run(ip, "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run(ip, "address", "add", f"{address(number)}/30", "dev", wire)
        _run(ip, "link", "set", wire, "up")
        _run(ip, "-n", space, "address", "add", f"{ADDRESS.format(number, 2)}/30", "dev", "eth0")
        _run(ip, "-n", space, "link", "set", "eth0", "up")
        _run(ip, "-n", space, "link", "set", "lo", "up")
        # They share this machine's name, by which Celery tells nodes apart.
        yield Node((ip, "netns", "exec", space), address(number), ("--hostname", f"host{number}@%h"))
    finally:
        # The wire goes with it.
        _run(ip, "netns", "delete", space)


def _run(*command: str) -> None:
    output(command, env=environment(), folder=Path("/"))
