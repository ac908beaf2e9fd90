"""Messages that no worker holds and that no worker gets: their holders died before they acknowledged them.

The ledger announces their batches again by itself. What is left in the broker is put back here, long before Celery's
visibility timeout does it, and is then dropped or done like any message.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kombu.connection import Connection
from kombu.exceptions import OperationalError

from celeryctl.cluster import inspection
from celeryctl.cluster.messages import batch_of
from celeryctl.cluster.queues import TIMEOUT, address, broker
from celeryctl.errors import BrokerUnreachableError, CeleryctlError
from celeryctl.settings import Settings
from celeryctl.storage import reconciliation

MOST = 1000  # messages that are looked at, and so put back, in one go
SETTLED = 10.0  # seconds; a younger one may be with a worker that has not noted it yet, or is acknowledging it


@dataclass(frozen=True, slots=True)
class Orphan:
    """A batch's message that was delivered and is with nobody. ``tag`` is its delivery's."""

    tag: str
    task_id: str
    batch_id: int


def find(settings: Settings, alive: Sequence[str]) -> list[Orphan]:
    """The orphans. ``alive`` are the workers with a fresh heartbeat.

    Raises CeleryctlError when one of them does not say what it holds: then nobody can tell.
    """
    settled = list(islice(_settled(settings), MOST))
    if not settled:
        return []
    held = inspection.holders(settings, [one.task_id for one in settled])
    if silent := sorted(set(alive) - set(held)):
        raise CeleryctlError(
            "nobody knows whose messages they are",
            why=f"{len(settled)} are not acknowledged, and {', '.join(silent)} does not say what it holds",
            fix="celeryctl doctor    (once more)",
        )
    in_hand = set[str]().union(*held.values())
    leased = reconciliation.leased([one.batch_id for one in settled])
    return [one for one in settled if one.task_id not in in_hand and one.batch_id not in leased]


def put_back(settings: Settings, orphans: Sequence[Orphan]) -> None:
    """Put them back into their queues; one that was acknowledged meanwhile stays away."""
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    try:
        with Connection(address(settings), transport_options=options) as connection:  # type: ignore[no-untyped-call]
            qos = connection.default_channel.qos
            for orphan in orphans:
                qos.restore_by_tag(orphan.tag)
    except OperationalError as exc:
        raise BrokerUnreachableError("the broker does not answer", why=str(exc), fix="celeryctl up") from None


def _settled(settings: Settings) -> Iterator[Orphan]:
    """What was delivered a while ago, by the broker's clock, and is not acknowledged."""
    with broker(address(settings)) as client:
        now = client.time()[0]
        for tag, raw in client.hscan_iter("unacked", count=MOST):
            delivered = client.zscore("unacked_index", tag)
            if (delivered is None or now - delivered > SETTLED) and (found := _read(tag, raw)):
                yield found


def _read(tag: bytes, raw: bytes) -> Orphan | None:
    """None for what is no batch's message: anybody who may publish can put anything there."""
    try:
        message: Any = json.loads(raw)[0]
        batch_id, task_id = batch_of(message["body"]), message["headers"]["id"]
        ours = message["headers"]["task"] == "celeryctl.batch"
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    if not ours or batch_id is None or not isinstance(task_id, str):
        return None
    return Orphan(tag.decode(errors="replace"), task_id, batch_id)
