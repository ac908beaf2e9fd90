"""Delete old rows of the ledger."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    older_than: Annotated[str, typer.Option("--older-than", help="How old, like 30d or 12h.", metavar="AGE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted; delete nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Delete runs that ended, and workers and beats that fell silent, longer ago than that.

    Kept are runs under way, each data set's newest run, and the one from which its schedule counts. Records are not
    touched.
    """
    from dataclasses import asdict

    from celeryctl.local import access
    from celeryctl.settings import parse_duration
    from celeryctl.storage import history

    age = parse_duration(older_than, nothing=True)
    with access.to_read(options.context()):
        pruned = history.prune(age, dry_run=dry_run)
    if json:
        options.print_json({"dry_run": dry_run, "deleted": asdict(pruned)})
        return
    word = "would be deleted" if dry_run else "deleted"
    told = ", ".join(f"{count:,} {name}" for name, count in asdict(pruned).items())
    options.console().print(f"{word}: {told}", soft_wrap=True)
