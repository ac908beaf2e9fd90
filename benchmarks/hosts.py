"""Other hosts, played by network namespaces: each has its own loopback and reaches this machine over its own wire."""

import ipaddress
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.cluster import Node
from benchmarks.processes import environment, output
from benchmarks.row import MeasureError, NotHereError

# RFC 2544 sets these addresses aside for benchmarks.
NETWORK = "198.18.0.0/15"
MOST = 8  # hosts of one process, each with four addresses
SBIN = "/usr/sbin:/sbin"  # not on everybody's PATH


@contextmanager
def connected(count: int) -> Iterator[list[Node]]:
    """So many hosts, for the time of the block. Raises NotHereError where this machine does not allow them."""
    ip = _ip()
    if ip is None:
        raise NotHereError("there is no `ip` here")
    if os.geteuid() != 0:
        raise NotHereError("only root may make network namespaces")
    with ExitStack() as stack:
        yield [stack.enter_context(_host(ip, number)) for number in range(1, count + 1)]


@contextmanager
def parted(number: int) -> Iterator[None]:
    """For the time of the block nothing gets over the wire to the host of this number, and nobody is told."""
    ip = _ip() or "ip"
    _run(ip, "link", "set", _wire(number), "down")
    try:
        yield
    finally:
        _run(ip, "link", "set", _wire(number), "up")


def _ip() -> str | None:
    return shutil.which("ip", path=os.environ.get("PATH", "") + ":" + SBIN)


def _wire(number: int) -> str:
    """This machine's end of the wire to the host of this number."""
    # Names have 15 characters at most, a pid up to seven.
    return f"cb{os.getpid()}-{number}"


def _addresses(number: int) -> tuple[str, str]:
    """Where the host of this number finds this machine, and its own."""
    # Other processes may have hosts at the same time.
    network = ipaddress.ip_network(NETWORK)
    first = network[(os.getpid() * MOST + number) * 4 % network.num_addresses]
    return str(first + 1), str(first + 2)


@contextmanager
def _host(ip: str, number: int) -> Iterator[Node]:
    space, here, (near, far) = f"celeryctl-bench-{os.getpid()}-{number}", _wire(number), _addresses(number)
    try:
        _run(ip, "netns", "add", space)
    except MeasureError as exc:
        raise NotHereError(f"network namespaces are refused: {exc}") from None
    try:
        _run(ip, "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run(ip, "address", "add", f"{near}/30", "dev", here)
        _run(ip, "link", "set", here, "up")
        _run(ip, "-n", space, "address", "add", f"{far}/30", "dev", "eth0")
        _run(ip, "-n", space, "link", "set", "eth0", "up")
        _run(ip, "-n", space, "link", "set", "lo", "up")
        # They share this machine's name, by which Celery tells nodes apart.
        yield Node((ip, "netns", "exec", space), near, ("--hostname", f"host{number}@%h"))
    finally:
        # With the namespace the wire would go as well, but only in a moment, and the next one has the same name.
        with suppress(MeasureError):
            _run(ip, "link", "delete", here)
        _run(ip, "netns", "delete", space)


def _run(*command: str) -> None:
    output(command, env=environment(), folder=Path("/"))
