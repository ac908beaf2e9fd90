"""Messages of batches that were delivered and never acknowledged: their worker died, or has done them long ago.

The ledger announces a batch again by itself, so such a message is of no use to anybody. Celery would deliver it once
more when its visibility timeout is over.
"""

import json
from itertools import islice
from typing import Any

from celeryctl.cluster.messages import batch_of
from celeryctl.cluster.queues import address, broker
from celeryctl.settings import Settings
from celeryctl.storage import reconciliation

MOST = 1000  # messages that are looked at in one go
SETTLED = 10.0  # seconds; a younger one may be with a worker that has not claimed its batch yet


def sweep(settings: Settings) -> int:
    """Drop the messages whose batch nobody works on by their order. Returns how many.

    A worker that holds one in reserve loses nothing: it does the batch, if that is still to be done, and finds nothing
    to acknowledge. Orders to fetch stay: they are in no ledger. Raises CeleryctlError where a server is away.
    """
    with broker(address(settings)) as client:
        now = client.time()[0]
        found: list[Any] = list(islice(client.hscan_iter("unacked", count=MOST), MOST))
        tasks = {tag: task for tag, raw in found if (task := _task(raw)) is not None}
        if not tasks:
            return 0
        scores = client.zmscore("unacked_index", list(tasks))
        old = {tag: tasks[tag] for tag, score in zip(tasks, scores, strict=True) if now - (score or 0) > SETTLED}
        worked_on = reconciliation.worked_on(list(old.values()))
        dropped = [tag for tag, task in old.items() if task not in worked_on]
        if dropped:
            with client.pipeline() as pipe:
                pipe.hdel("unacked", *dropped)
                pipe.zrem("unacked_index", *dropped)
                pipe.execute()
        return len(dropped)


def _task(raw: bytes) -> str | None:
    """The id of a batch's task; empty for what is no message at all, None for what is none of ours."""
    try:
        message = json.loads(raw)[0]
        headers, body = message["headers"], message["body"]
        ours = headers["task"] == "celeryctl.batch"
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    return str(headers.get("id")) if ours and batch_of(body) is not None else None
