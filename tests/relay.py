"""A port of one network that leads to a server of another, as a router between two would."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536  # bytes


class _Way(socketserver.BaseRequestHandler):
    """One connection, to and fro."""

    def handle(self) -> None:
        self.server.connections += 1  # type: ignore[attr-defined]
        with socket.create_connection(self.server.target) as there:  # type: ignore[attr-defined]
            back = threading.Thread(target=_pass_on, args=(there, self.request), daemon=True)
            back.start()
            _pass_on(self.request, there)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Relay(socketserver.ThreadingTCPServer):
    """Listens on ``host`` and leads to ``target``. ``connections`` were made so far."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        super().__init__((host, 0), _Way)
        self.target, self.connections = target, 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def relay(host: str, target: tuple[str, int]) -> Iterator[Relay]:
    """A relay for the time of the block."""
    with Relay(host, target) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
