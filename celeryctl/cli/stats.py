"""Coverage, queues, workers, schedule, sources."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show coverage, queues, workers, schedule and sources. Says what it cannot reach, and exits 0 all the same."""
    from celeryctl.cluster import overview
    from celeryctl.errors import CeleryctlError
    from celeryctl.local import access
    from celeryctl.views.stats import render

    context = options.context()
    try:
        with access.to_read(context):
            document = overview.collect()
    except CeleryctlError:
        document = overview.collect()
    if json:
        options.print_json(document)
    else:
        options.console().print(render(document))
