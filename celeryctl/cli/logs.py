"""The log files of what `up` started."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    process: Annotated[str | None, typer.Argument(help="worker1, beat, api, postgres, …; all when absent.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added; Ctrl-C ends it.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each to begin with.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show the log files of what `up` started."""
    from celeryctl.local import logfiles
    from celeryctl.settings import Environment

    files = logfiles.choose(Environment.read().home, process)
    width = max(len(file.stem) for file in files)
    for name, line in logfiles.read(files, lines, follow=follow):
        if json:
            options.print_json({"process": name, "line": line}, line=True)
        else:
            typer.echo(line if process else f"{name:<{width}} | {line}")
