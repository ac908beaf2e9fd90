"""Start a worker: Celery's own, with our settings."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> None:
    """Become Celery's worker. Celery's options pass through: `celeryctl worker -c 4 -l debug -Q a`."""
    from celeryctl.cluster.programs import become_worker

    become_worker(arguments, options.context())
