"""Start Flower, the web view."""

from collections.abc import Sequence

from celeryctl.cli import options

# Flower's options that are settings of ours: checked as such, and no password on a command line that all can read.
OURS = {"address": "flower_host", "port": "flower_port", "basic_auth": "flower_basic_auth"}


def command(arguments: Sequence[str]) -> None:
    """Become Flower, at http://127.0.0.1:5555 unless FLOWER_HOST and FLOWER_PORT say otherwise."""
    from celeryctl.cluster.programs import become_flower

    flags, others = _parted(arguments)
    become_flower(others, options.context(**flags))


def _parted(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What was typed in place of our settings, and the rest. Flower takes any number of dashes."""
    flags: dict[str, str] = {}
    others = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        name = OURS.get(option.lstrip("-").replace("-", "_"))
        if name and equals and option.startswith("-"):
            flags[name] = value
        else:
            others.append(argument)
    return flags, others
