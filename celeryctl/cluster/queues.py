"""What waits in the broker."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from celeryctl.errors import BrokerUnreachableError
from celeryctl.settings import Settings

QUEUE = "celery"
PRIORITY_STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # kombu's sub-queues of a queue on Redis
TIMEOUT = 3  # seconds


@contextmanager
def broker(url: str) -> Iterator["redis.Redis"]:
    """A client of the broker. Errors of Redis come out as BrokerUnreachableError."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=None)
        with client:
            yield client
    except (redis.RedisError, ValueError) as exc:
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise BrokerUnreachableError(
            "the broker does not answer", why=reason, fix="celeryctl up, or check REDIS_URL"
        ) from None


def lets_anybody_in(url: str) -> bool:
    """Whether the broker answers who has no password: whoever may publish can make workers do things."""
    parts: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    place = {name: part for name, part in parts.items() if name not in ("username", "password")}
    limits = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    with closing(redis.ConnectionPool(**{**place, **limits})) as pool, redis.Redis(connection_pool=pool) as stranger:
        try:
            return bool(stranger.ping())
        except redis.RedisError:
            return False


def depth(settings: Settings, queue: str = QUEUE) -> tuple[int, int]:
    """How many messages wait in the queue, and how many are with workers and not yet acknowledged."""
    with broker(address(settings)) as client, client.pipeline(transaction=False) as pipe:
        for step in PRIORITY_STEPS:
            pipe.llen(queue + step)
        pipe.hlen("unacked")
        *waiting, unacked = pipe.execute()
        return sum(waiting), unacked


def address(settings: Settings) -> str:
    """The broker's URL. Raises BrokerUnreachableError where there is none."""
    if not settings.redis_url:
        raise BrokerUnreachableError(
            "there is no broker", why="REDIS_URL is unset and no `celeryctl up` runs here", fix="celeryctl up"
        )
    return str(settings.redis_url)


def check(settings: Settings) -> None:
    """Raise BrokerUnreachableError unless the broker answers."""
    with broker(address(settings)) as client:
        client.ping()
