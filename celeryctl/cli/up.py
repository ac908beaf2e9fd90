"""Start everything here, fetch once, then follow."""

from typing import Annotated, Any, Literal

import typer

from celeryctl.cli import options
from celeryctl.errors import UsageError


def command(
    workers: Annotated[int, typer.Option("--workers", min=1, max=100, help="How many workers.", metavar="N")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Start it in the background and come back.")] = False,
    once: Annotated[bool, typer.Option("--once", help="One full round, then the stats; stop everything.")] = False,
    flower: Annotated[bool, typer.Option("--flower", help="Start Flower, the web view, as well.")] = False,
    sources: Annotated[
        Literal["auto", "live", "local"],
        typer.Option("--sources", help="Live ones, local ones, or auto: live if all answer."),
    ] = "auto",
    users: Annotated[
        int, typer.Option("--users", min=1, max=100_000_000, help="How many users the local sources have.", metavar="N")
    ] = 10,
    json: Annotated[bool, typer.Option("--json", help="With --once: print the stats as one JSON document.")] = False,
) -> None:
    """Start broker, database, schema, workers and beat here, and fetch everything once; then follow what happens.

    Ctrl-C ends it all, with exit code 0; the data are kept. A second `up` says that one is running.
    """
    _check(detach=detach, once=once, json=json)
    if detach:
        from celeryctl.local.detach import detach as start

        flags = [f"--workers={workers}", f"--sources={sources}", f"--users={users}", *(["--flower"] if flower else [])]
        options.console().print(start(options.context().settings.home, flags), soft_wrap=True)
        return
    from celeryctl.cli import stats
    from celeryctl.local.up import Wanted, up
    from celeryctl.views.follow import Lines

    def show(document: dict[str, Any]) -> None:
        stats.show(document, json=json)

    wanted = Wanted(workers=workers, once=once, flower=flower, sources=sources, users=users)
    raise typer.Exit(up(options.context(), wanted, Lines(options.notices() if once else options.console(), show)))


def _check(*, detach: bool, once: bool, json: bool) -> None:
    if detach and once:
        raise UsageError("--detach does not go with --once", why="a round ends by itself", fix="celeryctl up --once")
    if json and not once:
        raise UsageError(
            "--json goes with --once only", why="what runs on has no result", fix="celeryctl up --once --json"
        )
