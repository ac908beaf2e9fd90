"""Hosts of their own for workers, and the ways from there to the servers of this machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from relay import Relay, relay

from benchmarks import hosts
from benchmarks.cluster import Node
from benchmarks.row import NotHereError


@contextmanager
def new_nodes(count: int) -> Iterator[list[Node]]:
    """Hosts that reach this machine over a wire each. Skips the test where there can be none."""
    try:
        with hosts.connected(count) as found:
            yield found
    except NotHereError as exc:
        pytest.skip(str(exc))


def led(stack: ExitStack, host: str, url: str) -> tuple[str, Relay]:
    """A server of this machine's loopback as ``host`` finds it."""
    parts = urlsplit(url)
    way = stack.enter_context(relay(host, (parts.hostname or "", parts.port or 0)))
    return url.replace(f"{parts.hostname}:{parts.port}", f"{host}:{way.port}"), way
