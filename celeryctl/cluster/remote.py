"""Remote control that looks and does not touch: whoever may publish can broadcast to every worker.

What would stop a worker, change its pool, its queues, its limits or its tasks is refused: celeryctl never asks for it.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery.app.control import Control as CelerysControl
from kombu.pidbox import Mailbox as KombusMailbox

logger = logging.getLogger(__name__)

# Flower asks for the most of these, `doctor` for active_queues.
ANSWERED = frozenset(
    {
        "active",
        "active_queues",
        "clock",
        "conf",
        "dump_active",
        "dump_conf",
        "dump_reserved",
        "dump_revoked",
        "dump_schedule",
        "dump_tasks",
        "enable_events",
        "heartbeat",
        "ping",
        "query_task",
        "registered",
        "report",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)

Handler = Callable[..., Any]


def refusing(name: str) -> Handler:
    """What answers in place of a command."""

    def refuse(state: Any, **_: Any) -> dict[str, str]:  # noqa: ARG001 - what Celery hands over
        logger.warning("refused, as somebody asked for it over the broker: %s", name)
        return {"error": f"{name} is refused: celeryctl's workers take no orders over the broker"}

    return refuse


def stats(handler: Handler) -> Handler:
    """Celery's, without how the broker is spoken to: of TLS that is the passphrase of the key, too."""

    def answer(state: Any, **arguments: Any) -> Any:
        said = handler(state, **arguments)
        return {**said, "broker": {name: one for name, one in said["broker"].items() if name != "ssl"}}

    return answer


def guarded(name: str, handler: Handler) -> Handler:
    """What answers to a command's name."""
    if name not in ANSWERED:
        return refusing(name)
    return stats(handler) if name == "stats" else handler


class Mailbox(KombusMailbox):
    def Node(  # noqa: N802 - kombu's name
        self, hostname: Any = None, state: Any = None, channel: Any = None, handlers: Any = None
    ) -> Any:
        """Where a worker listens, with the commands that it answers."""
        mine = {name: guarded(name, handler) for name, handler in (handlers or {}).items()}
        return super().Node(hostname, state, channel, mine)  # type: ignore[no-untyped-call]


class Control(CelerysControl):  # type: ignore[misc]
    Mailbox = Mailbox
