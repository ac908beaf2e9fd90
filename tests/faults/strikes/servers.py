"""What may befall any server: it stops, stands still, or its connections are cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from relay import Relay


class Server(Protocol):
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextmanager
def cut(way: Relay) -> Iterator[None]:
    way.cut()
    yield


def known(way: Relay | None) -> Relay:
    """The relay before a server, which the stage was asked to have."""
    assert way is not None
    return way
