"""Serve what is known of the cluster to Prometheus."""

from typing import Annotated

import typer

from celeryctl.cli import options

PORT = 9808  # celery-exporter's


def command(
    host: Annotated[
        str | None, typer.Option("--host", help="The address to listen on; METRICS_HOST when absent.")
    ] = None,
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65_535, help="The port, 0 takes a free one."),
    ] = PORT,
) -> None:
    """Serve metrics of the whole cluster for Prometheus, at /metrics, until Ctrl-C.

    While the database or the broker is away, the page says so. Nobody has to log in, and nothing secret is on it.
    """
    from celeryctl.cluster.metrics import serve
    from celeryctl.local import access

    context = options.context(metrics_host=host)

    def ready(address: str) -> None:
        options.notices().print(f"Serving metrics at {address}", soft_wrap=True)

    with access.Watch(context) as watch:
        serve(context.settings.metrics_host, port, renew=watch.renew, ready=ready)
