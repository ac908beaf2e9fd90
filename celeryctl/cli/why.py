"""One verdict with its reason."""

from typing import Annotated

import typer

from celeryctl.cli import completion, options


def command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|TASK|USER", help="The beginning of an id, or a user's number.", autocompletion=completion.runs
        ),
    ],
    external: Annotated[bool, typer.Option("--external", help="It is the id of a user at its source.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say why a run or a task is where it is, or why a user has or lacks what hangs on it."""
    from celeryctl.local import access
    from celeryctl.verdicts.subject import why
    from celeryctl.views import why as views

    with access.to_read(options.context()) as here:
        verdict = why(here, subject, external=external)
    if json:
        options.print_json(views.as_json(verdict))
    else:
        options.console().print(views.render(verdict), soft_wrap=True)
