"""What a message has to look like before Celery sees it. Anybody who may publish can put anything into the queue.

The format is Celery's message protocol 2 in kombu's envelope for Redis:
https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

import base64
from typing import Any, Literal

import msgspec
from kombu.utils.json import loads

LONGEST = 1 << 20  # characters of a body; ours have about a hundred
# What comes of taking for a message, or for an event, what is none.
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class _DeliveryInfo(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"]
    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int | None = None


class _Headers(msgspec.Struct):
    task: str
    id: str
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    timelimit: tuple[float | None, float | None] | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    compression: None = None  # unpacked it may have any size


class _Envelope(msgspec.Struct, rename={"content_type": "content-type", "content_encoding": "content-encoding"}):
    body: str
    content_type: Literal["application/json"]
    content_encoding: Literal["utf-8"]
    headers: _Headers
    properties: _Properties


class _Embed(msgspec.Struct):
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: dict[str, Any] | None = None


_Body = tuple[list[Any], dict[str, Any], _Embed | None]


def read(raw: bytes) -> tuple[Any, str | None]:
    """What is in the queue, decoded as far as it can be, and why it cannot be a task's message; None for a good one."""
    message: Any = None
    try:
        # As kombu does it, who knows more types than JSON has, and stumbles over them.
        message = loads(raw)  # type: ignore[no-untyped-call]
        body = msgspec.convert(message, _Envelope).body
        if len(body) > LONGEST:
            return message, f"its body has more than {LONGEST} characters"
        msgspec.convert(loads(base64.b64decode(body, validate=True)), _Body)  # type: ignore[no-untyped-call]
    except (msgspec.MsgspecError, *MALFORMED) as exc:
        return message, str(exc)
    return message, None


def header(message: Any, name: str) -> str | None:
    """A header of a message that may be anything; None where there is none that is a text."""
    headers = message.get("headers") if isinstance(message, dict) else None
    value = headers.get(name) if isinstance(headers, dict) else None
    return value if isinstance(value, str) else None
