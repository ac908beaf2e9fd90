"""Check everything, and mend what is safe to mend."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mend what is safe: file modes, tables, counters, orphaned messages."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check settings, database, broker, workers, beat, sources and this machine, and print the command that mends it.

    Exit code: 0 all well (there may be warnings), 1 something is wrong, 69 a needed service does not answer.
    """
    from celeryctl import logs
    from celeryctl.checks.catalogue import diagnose
    from celeryctl.checks.check import exit_code
    from celeryctl.views.doctor import as_json, render

    # What the libraries say on the way is what the checks find out and tell in order.
    logs.configure("DEBUG" if options.common.verbose else "CRITICAL")
    report = diagnose(fix=fix)
    if json:
        options.print_json(as_json(report))
    else:
        options.console().print(render(report, brief=options.common.quiet, treated=fix))
    raise typer.Exit(exit_code(report))
