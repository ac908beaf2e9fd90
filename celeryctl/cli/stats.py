"""Coverage, queues, workers, schedule, sources."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celeryctl.cli import options
from celeryctl.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = 99  # where nobody looks: all parts below each other, as a program reads lines


def command(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again; q or Ctrl-C ends it.")] = False,
    interval: Annotated[
        str | None, typer.Option("--interval", help="With --watch: how often, like 0.5s or 1m; 1s when absent.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch one object per line.")] = False,
) -> None:
    """Show coverage, queues, workers, schedule, runs and sources.

    Says what it cannot reach, and exits 0 all the same. Without a terminal --watch prints one after the other.
    """
    if interval and not watch:
        raise UsageError("--interval goes with --watch only", why="nothing is repeated", fix="celeryctl stats --watch")
    context = options.context()
    if watch:
        from celeryctl.cli import watching

        watching.follow(context, interval or "1s", json=json)
        return
    from celeryctl.cluster import overview
    from celeryctl.local import access

    with options.notices().status("asking database and broker"), access.Watch(context):
        document = overview.collect()
    show(document, json=json)


def show(document: dict[str, Any], *, json: bool, line: bool = False) -> None:
    """Print it as a screen of any height, or as JSON; with ``line`` as one of several."""
    from celeryctl.views.stats import render

    if json:
        options.print_json(document, line=line)
    else:
        console = options.console()
        width = console.width if console.width < options.UNFOLDED else COLUMNS
        screen = render(document, width, ascii_only=is_ascii_only(console))
        console.print(screen, *([""] if line else []), sep="\n")


def is_ascii_only(console: "Console") -> bool:
    """Whether it is to be told in ASCII. Python takes LC_ALL=C for UTF-8, but whoever sets it means it."""
    return console.options.ascii_only or os.environ.get("LC_ALL") in ("C", "POSIX")
