"""Start beat: Celery's own, with PostgreSQL as its memory."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> None:
    """Become Celery's beat. Of several beats one is active, the others stand by."""
    from celeryctl.cluster.programs import become_beat

    become_beat(arguments, options.context())
