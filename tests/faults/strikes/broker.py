"""The broker dies, forgets, flaps, stands still, lies, is full or slow, or is given garbage."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import redis
from cluster.bad import BAD
from relay import Relay

from ..kit import Stage, Strike
from . import servers


def killed(stage: Stage) -> AbstractContextManager[None]:
    return servers.stopped(stage.broker)


@contextmanager
def flushed(stage: Stage) -> Iterator[None]:
    command(stage, "FLUSHALL")
    yield


@contextmanager
def flapping(stage: Stage) -> Iterator[None]:
    for _ in range(10):
        stage.broker.stop()
        stage.broker.start()
    yield


def frozen(stage: Stage) -> AbstractContextManager[None]:
    return servers.frozen(stage.broker)


@contextmanager
def half_open(stage: Stage) -> Iterator[None]:
    """Nothing undoes this: whoever waits at such a connection has to find out."""
    relay(stage).silence()
    yield


def cut(stage: Stage) -> AbstractContextManager[None]:
    return servers.cut(relay(stage))


@contextmanager
def full(stage: Stage) -> Iterator[None]:
    command(stage, "CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        command(stage, "CONFIG", "SET", "maxmemory", "0")


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    command(stage, "REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        command(stage, "REPLICAOF", "NO", "ONE")


@contextmanager
def slow(stage: Stage) -> Iterator[None]:
    """200 ms for everything that passes, each way."""
    relay(stage).delay = 0.2
    try:
        yield
    finally:
        relay(stage).delay = 0


@contextmanager
def reply_lost(stage: Stage) -> Iterator[list[bytes]]:
    """The broker hands a message out, and it never arrives. Yields what was lost."""
    lost: list[bytes] = []

    def swallow(data: bytes) -> bytes:
        # What BRPOP says begins with the queue's name; others see messages, too, without taking them.
        if lost or b"\r\ncelery\r\n" not in data or b"celeryctl.batch" not in data:
            return data
        lost.append(data)
        return b""

    relay(stage).reply = swallow
    try:
        yield lost
    finally:
        relay(stage).reply = bytes


@contextmanager
def poisoned(stage: Stage) -> Iterator[None]:
    """The queue is given everything that is no message."""
    with closing(redis.Redis.from_url(stage.broker.url)) as client:
        client.lpush("celery", *(one.raw for one in BAD))
    yield


AT_ONCE: dict[str, Strike] = {
    "flushed": flushed,
    "flapping": flapping,
    "half-open sockets": half_open,
    "connections cut": cut,
    "poisoned": poisoned,
}
LASTING: dict[str, Strike] = {
    "killed, nothing kept": killed,
    "frozen": frozen,
    "full": full,
    "read-only": read_only,
    "slow": slow,
    "loses a reply": reply_lost,
}


def command(stage: Stage, *words: str) -> None:
    with closing(redis.Redis.from_url(stage.broker.url)) as client:
        client.execute_command(*words)  # type: ignore[no-untyped-call]


def relay(stage: Stage) -> Relay:
    return servers.known(stage.to_broker)
