"""Serve the source APIs on this machine."""

from typing import Annotated

import typer


def command(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 takes a free one.")] = 8080,
    users: Annotated[int, typer.Option("--users", min=0, help="How many users there are.", metavar="N")] = 10,
    latency: Annotated[float, typer.Option("--latency", min=0, help="Milliseconds per answer.", metavar="MS")] = 0,
    error_rate: Annotated[
        float, typer.Option("--error-rate", min=0, max=1, help="How often, from 0 to 1, to answer 500.", metavar="P")
    ] = 0,
    rate_limit: Annotated[
        str | None, typer.Option("--rate-limit", help="Answer 429 beyond this, such as 10/s.", metavar="R")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another number gives other records.")] = 0,
) -> None:
    """Serve the three source APIs here; the first ten users are JSONPlaceholder's. Ends with Ctrl-C."""
    from celeryctl.local.sources import serve, variables

    def ready(base: str) -> None:
        for name, value in variables(base).items():
            typer.echo(f"{name}={value}")
        typer.echo(f"Serving {users} users at {base}; the lines above are the settings that use it.", err=True)

    serve(
        host,
        port,
        users=users,
        latency=latency / 1000,
        error_rate=error_rate,
        rate_limit=rate_limit,
        seed=seed,
        ready=ready,
    )
