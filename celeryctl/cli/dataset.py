"""Data sets of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from celeryctl.cli import options

app = typer.Typer(help="Add a data set of your own.", no_args_is_help=True)


@app.command("list", cls=options.Command)
def list_(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the data sets that there are, and where each comes from."""
    from celeryctl.views import datasets as views

    context = options.context()
    if json:
        options.print_json({"datasets": views.as_json(context)})
    else:
        options.console().print(views.table(context))


@app.command(cls=options.Command)
def new(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, underscores.")],
    folder: Annotated[Path, typer.Option(help="Where the file goes.", file_okay=False)] = Path("datasets"),
) -> None:
    """Write a data set's file, ready to be filled in. An existing file is never overwritten."""
    from celeryctl.datasets.scaffold import write

    path = write(name, folder)
    options.console().print(str(path), soft_wrap=True)
    options.notices().print(
        f"Fill it in, then: CELERYCTL_DATASETS={folder} celeryctl dataset check {path}", soft_wrap=True
    )


@app.command(cls=options.Command)
def check(
    path: Annotated[str | None, typer.Argument(help="A file, a folder or a module; all data sets when absent.")] = None,
    sample: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A JSON file as the source answers: try the mapping on it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check that data sets load and fit together, and try one on a recorded answer."""
    from celeryctl import datasets
    from celeryctl.pipeline.trial import inspect

    found = options.context().datasets if path is None else datasets.load([path])
    lines = list(inspect(found, sample.read_bytes() if sample else None))
    if json:
        options.print_json({"checked": lines})
        return
    for line in lines:
        options.console().print(line, soft_wrap=True)
