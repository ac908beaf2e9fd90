"""Messages of batches that were delivered and never acknowledged: their worker died, or has done them long ago.

The ledger announces a batch again by itself, so such a message is of no use to anybody. Celery would deliver it once
more when its visibility timeout is over.
"""

from itertools import islice
from typing import Any

from celeryctl.cluster.messages import of_delivery
from celeryctl.cluster.queues import address, broker
from celeryctl.settings import Settings
from celeryctl.storage import reconciliation

MOST = 1000  # messages that are looked at in one go
SETTLED = 10.0  # seconds; a younger one may be with a worker that has not claimed its batch yet


def sweep(settings: Settings) -> int:
    """Drop the messages whose batch nobody works on by their order. Returns how many.

    A worker that holds one in reserve loses nothing: it does the batch, if that is still to be done, and finds nothing
    to acknowledge. What is no message at all is dropped, too. Raises CeleryctlError where a server is away.
    """
    with broker(address(settings)) as client:
        now = client.time()[0]
        found: list[Any] = list(islice(client.hscan_iter("unacked", count=MOST), MOST))
        # Of others who use this Redis everything stays, and so do orders to fetch: they are in no ledger.
        ours = {tag: one and one.task_id for tag, raw in found if (one := of_delivery(raw)) is None or one.batch_id}
        if not ours:
            return 0
        scores = client.zmscore("unacked_index", list(ours))
        old = {tag: ours[tag] for tag, score in zip(ours, scores, strict=True) if now - (score or 0) > SETTLED}
        worked_on = reconciliation.worked_on([task for task in old.values() if task])
        dropped = [tag for tag, task in old.items() if task not in worked_on]
        if dropped:
            with client.pipeline() as pipe:
                pipe.hdel("unacked", *dropped)
                pipe.zrem("unacked_index", *dropped)
                pipe.execute()
        return len(dropped)
