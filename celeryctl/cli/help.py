"""The help that costs nothing: plain text made from the table of commands."""

from itertools import groupby

from celeryctl.cli.table import COMMANDS, Entry

HEAD = """\
celeryctl keeps a PostgreSQL table of users complete from HTTP APIs, on a Celery cluster.

Usage: celeryctl COMMAND [OPTIONS]
"""
FOOT = """\

After every command: -h/--help, -q/--quiet, -v/--verbose, --no-color, --debug; --json where something is read.
More: celeryctl help COMMAND, celeryctl --version, celeryctl --install-completion
Begin with: celeryctl up"""


def root() -> str:
    """The help of celeryctl itself: all commands, in groups."""
    width = max(len(entry.name) for entry in COMMANDS)
    lines = [HEAD]
    for group, entries in groupby(COMMANDS, key=lambda entry: entry.group):
        lines.append(group)
        lines += [f"  {entry.name:<{width}}  {entry.help}" for entry in entries]
    return "\n".join([*lines, FOOT])


def raw(entry: Entry, text: str) -> str:
    """The help of a command whose options are another program's."""
    return (
        f"Usage: celeryctl {entry.name} [OPTIONS OF `{entry.passes_to}`]...\n\n"
        f"{text}\n\nAll options pass through as they stand. To see them: {entry.passes_to} --help\n\n"
        + "\n".join(_lines(entry))
    )


def examples(entry: Entry) -> str:
    """What Typer shows below a command's help; its mark keeps the lines as they are."""
    return "\n".join(["\b", *_lines(entry)])


def _lines(entry: Entry) -> list[str]:
    return ["Examples:" if len(entry.examples) > 1 else "Example:", *(f"  celeryctl {one}" for one in entry.examples)]
