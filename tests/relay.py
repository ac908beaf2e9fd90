"""A port that leads to a server elsewhere, as a router between two networks would; on demand a bad one."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

CHUNK = 65_536  # bytes


class _Way(socketserver.BaseRequestHandler):
    """One connection, to and fro."""

    server: "Relay"

    def handle(self) -> None:
        self.server.connections += 1
        self.silent = False
        with suppress(OSError), socket.create_connection(self.server.target) as there:
            self.ends = (self.request, there)
            self.server.ways.add(self)
            back = threading.Thread(target=self._pass_on, args=(there, self.request, self._filtered), daemon=True)
            back.start()
            self._pass_on(self.request, there, lambda data: data)
            back.join()
        self.server.ways.discard(self)

    def cut(self) -> None:
        """End it as a reset does, for both sides."""
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _filtered(self, data: bytes) -> bytes:
        return self.server.reply(data)

    def _pass_on(self, source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self.silent:
                    continue
                time.sleep(self.server.delay)
                sink.sendall(change(data))
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class Relay(socketserver.ThreadingTCPServer):
    """Listens on ``host`` and leads to ``target``. ``connections`` were made so far.

    ``delay`` is in seconds for everything that passes, each way; ``reply`` may change what the server says, or return
    nothing of it.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        super().__init__((host, 0), _Way)
        self.target, self.connections = target, 0
        self.ways: set[_Way] = set()
        self.delay = 0.0
        self.reply: Callable[[bytes], bytes] = bytes

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def cut(self) -> None:
        """End every connection."""
        for way in tuple(self.ways):
            way.cut()

    def silence(self) -> None:
        """Swallow from now on what comes over the connections that there are, and keep them open: half-open sockets."""
        for way in tuple(self.ways):
            way.silent = True


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
            server.cut()
            thread.join()


def own_address() -> str:
    """An address of this machine that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        return str(found.getsockname()[0])
