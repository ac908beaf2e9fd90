"""Ports: free ones on loopback, and whether one that somebody has named is free."""

import socket

from celeryctl.errors import CeleryctlError, SettingsError
from celeryctl.settings import Settings

HIGHEST = 65_535


def free_port() -> int:
    """A port that nobody listens on now; another process may take it first, so be ready to try again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def require_free(host: str, port: int, *, whose: str, variable: str) -> None:
    """Raise CeleryctlError where nobody could listen there now. ``variable`` is the setting that names the port."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as exc:
        raise CeleryctlError(
            f"{whose} cannot listen on {host}:{port}",
            why=exc.strerror or str(exc),
            fix=f"set {variable} to a free port",
        ) from None


def require_metrics_ports(settings: Settings, workers: int) -> None:
    """Raise CeleryctlError where one of so many workers could not serve its metrics."""
    if not (first := settings.metrics_port):
        return
    if first + workers - 1 > HIGHEST:
        raise SettingsError(
            f"METRICS_PORT is {first}, which is too high for {workers} workers",
            why="they take that port and the ones after it",
            fix=f"set METRICS_PORT to {HIGHEST - workers + 1} or less",
        )
    for number in range(workers):
        whose = f"worker{number + 1} with its metrics"
        require_free(settings.metrics_host, first + number, whose=whose, variable="METRICS_PORT")
