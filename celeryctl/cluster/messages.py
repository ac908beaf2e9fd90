"""The messages in the broker as kombu keeps them on Redis: a list for every priority, and a hash of those delivered."""

import base64
import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from celeryctl.cluster.queues import PRIORITY_STEPS, QUEUE, address, broker
from celeryctl.settings import Settings

MOST = 1000  # messages that are looked at; the planner's windows keep queues far shorter


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is not acknowledged.

    ``position`` counts from 1 in the order of delivery; None: it was delivered. ``batch_id`` is None where it is no
    batch's.
    """

    task_id: str
    task: str
    batch_id: int | None
    position: int | None


def waiting(settings: Settings) -> list[Message]:
    """Those that wait in the queue, the next to be delivered first. Raises BrokerUnreachableError."""
    with broker(address(settings)) as client, client.pipeline(transaction=False) as pipe:
        for step in PRIORITY_STEPS:
            pipe.lrange(QUEUE + step, -MOST, -1)  # taken from the right
        raws = [raw for found in pipe.execute() for raw in reversed(found)]
    return [_read(_object(raw), position) for position, raw in enumerate(raws, 1)]


def delivered(settings: Settings) -> list[Message]:
    """Those that went to a worker which has not acknowledged them. Raises BrokerUnreachableError."""
    with broker(address(settings)) as client:
        found: Any = [raw for _, raw in islice(client.hscan_iter("unacked", count=MOST), MOST)]
    return [message for raw in found if (message := of_delivery(raw))]


def of_delivery(raw: bytes) -> Message | None:
    """The message in an entry of the hash; None for what kombu cannot have put there."""
    found = _object(raw)
    return _read(found[0], None) if isinstance(found, list) and found and isinstance(found[0], dict) else None


def _object(raw: bytes) -> Any:
    """Anybody who may publish can put anything there."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _read(message: Any, position: int | None) -> Message:
    found = message if isinstance(message, dict) else {}
    headers = found["headers"] if isinstance(found.get("headers"), dict) else {}
    task = str(headers.get("task", ""))
    batch_id = batch_of(found.get("body")) if task == "celeryctl.batch" else None
    return Message(str(headers.get("id", "")), task, batch_id, position)


def batch_of(body: Any) -> int | None:
    """The id in the body of a batch's message: base64 of ``[[batch_id], {}, {…}]``."""
    try:
        (batch_id,) = json.loads(base64.b64decode(body))[0]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return batch_id if type(batch_id) is int else None
