"""Asking the workers that live, over Celery's remote control."""

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError

from celeryctl.cluster.queues import address, refusal
from celeryctl.errors import BrokerUnreachableError
from celeryctl.settings import Settings

TIMEOUT = 1.0  # seconds; a worker answers from its main process, whatever its children do


def queues_of(settings: Settings, names: Sequence[str]) -> dict[str, set[str]]:
    """The queues that each of these workers consumes from; who does not answer is absent."""
    found = _ask(settings, "active_queues", destination=names)
    return {name: {str(queue["name"]) for queue in queues} for name, queues in found.items()}


def _ask(settings: Settings, command: str, *, destination: Sequence[str] | None = None, **arguments: Any) -> Any:
    with Celery("inspection", broker=address(settings), set_as_current=False) as app:
        limit = len(destination) if destination else None
        inspector = app.control.inspect(destination=destination, timeout=TIMEOUT, limit=limit)
        try:
            return inspector._request(command, **arguments) or {}
        except NoPermissionError as exc:
            raise refusal(exc) from None
        except OperationalError as exc:
            if isinstance(exc.__cause__, NoPermissionError):
                raise refusal(exc.__cause__) from None
            raise BrokerUnreachableError("the broker does not answer", why=str(exc), fix="celeryctl up") from None
