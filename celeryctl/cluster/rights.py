"""What a user of the broker may do, found out without doing it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import redis
from redis.exceptions import NoPermissionError

Program = Literal["worker", "beat", "stats"]
Command = tuple[str, ...]

PUBLISHING: tuple[Command, ...] = (
    ("LPUSH", "celery", ""),
    ("PUBLISH", "/0.celery.pidbox", ""),
)
# Not all that a program says to the broker, but what tells apart who is meant to be it.
NEEDED: Mapping[Program, tuple[Command, ...]] = {
    "worker": (
        ("BRPOP", "celery", "1"),
        ("LPUSH", "celery", ""),
        ("HSET", "unacked", "", ""),
        ("ZADD", "unacked_index", "0", ""),
        ("SET", "unacked_mutex", ""),
        ("EVALSHA", "0" * 40, "1", "_kombu.binding.celery.pidbox"),
        ("PUBLISH", "/0.celeryev/worker.heartbeat", ""),
    ),
    "beat": (
        ("LPUSH", "celery", ""),
        ("SADD", "_kombu.binding.celery", ""),
        ("HDEL", "unacked", ""),
        ("PUBLISH", "/0.celeryev/task.sent", ""),
    ),
    "stats": (
        ("LLEN", "celery"),
        ("HLEN", "unacked"),
    ),
}


def refused(client: "redis.Redis", commands: Sequence[Command]) -> list[str]:
    """Those that the broker would not let this user do: the command, and on what.

    In a transaction that is given up they are judged and never done. Who may not even begin one may not work with
    Celery. Raises redis.RedisError where the broker does not answer.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_command("MULTI")
        try:
            connection.read_response()
        except NoPermissionError:
            return [_told(command) for command in commands]
        found = [_told(command) for command in commands if not _is_permitted(connection, command)]
        connection.send_command("DISCARD")
        connection.read_response()
    finally:
        connection.disconnect()
        pool.release(connection)
    return found


def _is_permitted(connection: Any, command: Command) -> bool:
    connection.send_command(*command)
    try:
        connection.read_response()
    except NoPermissionError:
        return False
    return True


def _told(command: Command) -> str:
    return f"{command[0]} {command[3] if command[0] == 'EVALSHA' else command[1]}"
