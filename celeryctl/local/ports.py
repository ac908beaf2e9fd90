"""Ports: free ones on loopback, and whether one that somebody has named is free."""

import socket

from celeryctl.errors import CeleryctlError


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
