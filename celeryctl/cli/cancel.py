"""Stop a run."""

from typing import Annotated

import typer

from celeryctl.cli import completion, options
from celeryctl.errors import CeleryctlError


def command(
    run: Annotated[str, typer.Argument(help="The beginning of its id.", autocompletion=completion.runs)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Stop a run: what is stored stays, what is under way is dropped, and the runs that were to follow stay away."""
    from celeryctl.local import access
    from celeryctl.pipeline import lookup
    from celeryctl.storage import runs
    from celeryctl.storage.feed import current
    from celeryctl.views import runs as views

    with access.to_read(options.context()):
        run_id = lookup.find_run(run).id
        stopped = runs.cancel(run_id)
        found = current(run_id)
    if not stopped:
        raise CeleryctlError(
            f"run {str(found.id)[:8]} cannot be cancelled", why=f"it is over: {found.status}", fix="celeryctl runs"
        )
    if json:
        options.print_json({"runs": [views.in_full(found)]})
    else:
        options.console().print(views.cancelled(found))
