"""Wait for a state of the cluster."""

from typing import Annotated

import typer

from celeryctl.cli import options


def command(
    condition: Annotated[
        str, typer.Option("--for", help="Such as 'queue=0 and running=0'; see below.", metavar="CONDITION")
    ],
    timeout: Annotated[
        str | None, typer.Option("--timeout", help="Wait at most this long, like 90s or 5m; exit 4 after.")
    ] = None,
    interval: Annotated[str, typer.Option("--interval", help="How often to look.")] = "1s",
    json: Annotated[bool, typer.Option("--json", help="Print the values at the end as one JSON document.")] = False,
) -> None:
    """Wait until a condition holds.

    Fields: queue, unacked, running (runs), failed (data sets whose last run failed), quarantined, workers (alive),
    missing.DATASET. Compared by = != < <= > >= with whole numbers; joined by and, or, not and parentheses. A service
    that is away is waited for.
    """
    from celeryctl.cluster.waiting import told, wait_for
    from celeryctl.local import access
    from celeryctl.pipeline.conditions import parse
    from celeryctl.settings import parse_duration

    context = options.context()
    wanted = parse(condition, list(context.datasets))
    limit = parse_duration(timeout).total_seconds() if timeout else None
    every = parse_duration(interval).total_seconds()

    with access.Watch(context) as watch:

        def away(problems: tuple[str, ...], lost: bool) -> None:
            options.notice_once(*problems or ("Everything answers again",))
            watch.renew(lost=lost)

        found = wait_for(wanted, timeout=limit, every=every, away=away)
    if json:
        options.print_json({"for": condition, "values": found})
    else:
        options.console().print(f"It holds: {told(found)}", soft_wrap=True)
