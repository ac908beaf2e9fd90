"""Start Flower, the web view."""

from collections.abc import Sequence

from celeryctl.cli import options


def command(arguments: Sequence[str]) -> None:
    """Become Flower, at http://127.0.0.1:5555 unless FLOWER_HOST and FLOWER_PORT say otherwise."""
    from celeryctl.cluster.programs import become_flower

    become_flower(arguments, options.context())
