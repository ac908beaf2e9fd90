"""What waits in the broker."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from celeryctl.cluster import rights
from celeryctl.errors import BrokerRefusedError, BrokerUnreachableError
from celeryctl.logs import one_line
from celeryctl.settings import Settings, tls

QUEUE = "celery"
PRIORITY_STEPS = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # kombu's sub-queues of a queue on Redis
TIMEOUT = 3  # seconds
CREDENTIALS = ("username", "password", "ssl_certfile", "ssl_keyfile", "ssl_password")
WHO = "celeryctl config show    (REDIS_URL names the user; deploy/redis.acl has one for every program)"


@contextmanager
def broker(url: str) -> Iterator["redis.Redis"]:
    """A client of the broker. Errors of Redis come out as BrokerUnreachableError, or as BrokerRefusedError."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=None)
        with client:
            yield client
    except NoPermissionError as exc:
        raise refusal(exc) from None
    except (redis.RedisError, ValueError) as exc:
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise BrokerUnreachableError(
            "the broker does not answer", why=f"{reason}{_hint(url, exc)}", fix="celeryctl up, or check REDIS_URL"
        ) from None


def _hint(url: str, exc: Exception) -> str:
    """A server that wants a certificate of its clients says so with TLS 1.3 when it is too late to be heard."""
    ended = isinstance(exc, redis.ConnectionError) and not isinstance(exc, redis.AuthenticationError)
    if ended and "connecting to" not in str(exc) and url.startswith("rediss://") and "ssl_certfile" not in tls(url):
        return " (it may want a client's certificate: ssl_certfile and ssl_keyfile)"
    return ""


def refusal(exc: Exception) -> BrokerRefusedError:
    """What the broker says to a user who lacks a right; it names the command and the user."""
    return BrokerRefusedError(why=one_line(str(exc)), fix=WHO)


def lets_anybody_in(url: str) -> bool:
    """Whether who has neither password nor certificate can publish, and so make workers do things.

    So it is taken to be where a stranger gets in and may begin no transaction: then it cannot be found out.
    """
    parts: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    place = {name: part for name, part in parts.items() if name not in CREDENTIALS}
    limits = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    with closing(redis.ConnectionPool(**{**place, **limits})) as pool, redis.Redis(connection_pool=pool) as stranger:
        try:
            publishing = rights.publishing(_database(url))
            found = rights.refused(stranger, publishing)
        except redis.RedisError:
            return False
    return found == [rights.TRANSACTION] or len(found) < len(publishing)


def _database(url: str) -> int:
    """Its number, which stands in the name of every channel of Celery's."""
    return int(parse_url(url).get("db", 0))  # type: ignore[no-untyped-call]


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


def check(settings: Settings, program: rights.Program | None = None, *, unless: str = "") -> None:
    """Raise BrokerUnreachableError unless the broker answers, BrokerRefusedError unless its user may do the work.

    ``unless`` is a command that this time the program does not need.
    """
    url = address(settings)
    with broker(url) as client:
        client.ping()
        commands = rights.needed(program, _database(url)) if program else ()
        wanted = [command for command in commands if command[0] != unless]
        lacking = rights.refused(client, wanted) if wanted else []
    if lacking:
        raise BrokerRefusedError(
            f"this user of the broker may not do what {program} does",
            why=f"the broker refuses it {', '.join(lacking)}",
            fix=WHO,
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """What the broker's ``user`` lacks for its ``program``: to start at all, and besides."""

    user: str
    program: rights.Program
    needed: list[str]
    further: list[str]


def rights_of(settings: Settings) -> Rights:
    """Raises BrokerUnreachableError, BrokerRefusedError."""
    url = address(settings)
    database, user = _database(url), str(parse_url(url).get("username") or "default")  # type: ignore[no-untyped-call]
    with broker(url) as client:
        program = rights.program_of(client, user)
        lacking = [rights.refused(client, of(program, database)) for of in (rights.needed, rights.further)]
    return Rights(user, program, *lacking)
