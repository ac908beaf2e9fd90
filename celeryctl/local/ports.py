"""Free ports on loopback."""

import socket


def free_port() -> int:
    """A port that nobody listens on now; another process may take it first, so be ready to try again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
