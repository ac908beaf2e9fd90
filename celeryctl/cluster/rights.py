"""What a user of the broker may do, found out without doing it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import redis
from redis.exceptions import NoPermissionError, ResponseError

Program = Literal["worker", "beat", "stats"]
Command = tuple[str, ...]
TRANSACTION = "MULTI"
USERS: Mapping[str, Program] = {"worker": "worker", "beat": "beat", "viewer": "stats"}  # as deploy/redis.acl has them


def publishing(database: int) -> tuple[Command, ...]:
    """What makes workers do things."""
    return ("LPUSH", "celery", ""), ("PUBLISH", f"/{database}.celery.pidbox", "")


def needed(program: Program, database: int) -> tuple[Command, ...]:
    """Not all that a program says to the broker, but what tells apart who is meant to be it."""
    events = f"/{database}.celeryev"
    of: Mapping[Program, tuple[Command, ...]] = {
        "worker": (
            ("BRPOP", "celery", "1"),
            ("LPUSH", "celery", ""),
            ("HSET", "unacked", "", ""),
            ("ZADD", "unacked_index", "0", ""),
            ("SET", "unacked_mutex", ""),
            ("EVALSHA", "0" * 40, "1", "_kombu.binding.celery.pidbox"),
            ("PUBLISH", f"{events}/worker.heartbeat", ""),
        ),
        "beat": (
            ("LPUSH", "celery", ""),
            ("SADD", "_kombu.binding.celery", ""),
            ("HDEL", "unacked", ""),
            ("PUBLISH", f"{events}/task.sent", ""),
        ),
        "stats": (
            ("LLEN", "celery"),
            ("HLEN", "unacked"),
        ),
    }
    return of[program]


def further(program: Program, database: int) -> tuple[Command, ...]:
    """What it says besides: without that it starts, and lacks something later."""
    sweep = "ZMSCORE unacked_index tag", "ZREM unacked_index tag", "HDEL unacked tag"
    reading = "LLEN celery", "LRANGE celery 0 0", "HLEN unacked", "HSCAN unacked 0", "TIME", "INFO"
    of: Mapping[Program, tuple[str, ...]] = {
        "worker": (
            *("RPUSH celery tag", "HGET unacked tag", "ZRANGE unacked_index 0 0", *sweep),
            *("GET unacked_mutex", "DEL unacked_mutex", "SMEMBERS _kombu.binding.celery"),
            *("LINDEX LIMITS:celeryctl/x 0", "SET LIMITS:celeryctl/pause/x 1", f"PSUBSCRIBE /{database}.celery.pidbox"),
        ),
        "beat": (*sweep, "GET LIMITS:celeryctl/pause/x"),
        "stats": (),
    }
    return tuple(tuple(command.split()) for command in (*of[program], *reading, f"PSUBSCRIBE /{database}.celeryev/*"))


def program_of(client: "redis.Redis", user: str) -> Program:
    """Whose user it is: by its name, else by what it may begin with."""
    if user in USERS:
        return USERS[user]
    lacking = refused(client, (("BRPOP", "celery", "1"), ("LPUSH", "celery", "")))
    return "stats" if len(lacking) == 2 else "beat" if lacking == ["BRPOP celery"] else "worker"


def refused(client: "redis.Redis", commands: Sequence[Command]) -> list[str]:
    """Those that the broker would not let this user do: the command, and on what.

    In a transaction that is given up they are judged and never done. Where that may not be begun it alone is named:
    Celery cannot work without, and of the rest nobody knows. Raises redis.RedisError where the broker does not answer.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_command(TRANSACTION)
        try:
            connection.read_response()
        except NoPermissionError:
            return [TRANSACTION]
        return [_told(command) for command in commands if not _is_permitted(connection, command)]
    finally:
        connection.disconnect()  # which gives the transaction up, and needs no right
        pool.release(connection)


def _is_permitted(connection: Any, command: Command) -> bool:
    connection.send_command(*command)
    try:
        connection.read_response()
    except NoPermissionError:
        return False
    except ResponseError:
        pass  # it is full, or a replica, or cannot save: that may be over soon, and comes after the rights
    return True


def _told(command: Command) -> str:
    return " ".join((command[0], *(command[3:] if command[0] == "EVALSHA" else command[1:2])))
