"""A real HTTP server on loopback that answers as it is told: well, badly, slowly, by halves or not at all.

with FaultServer() as server:
    server.answer("/users", Reply(503), Reply.json([{"id": 1}]))   # one after the other, the last one for ever
    server.answer("/lookup", lambda request: Reply.json({"asked": request.query}))
    … server.url + "/users" …
    assert [request.path for request in server.requests] == ["/users", "/users"]
"""

import datetime
import gzip
import ipaddress
import json
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    connection: int  # which of the server's connections it came over


@dataclass(frozen=True)
class Reply:
    """What to answer. Times are in seconds."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0  # before anything is sent
    trickle: float = 0  # after every byte of the body
    trickle_head: float = 0  # after every byte of the head
    missing: int = 0  # bytes that Content-Length promises and that never come
    fate: str = "answer"  # or "close" (without a word), or "reset"

    @classmethod
    def json(cls, data: Any, **more: Any) -> Self:
        return cls(body=json.dumps(data).encode(), **more).with_header("Content-Type", "application/json")

    @classmethod
    def text(cls, text: str, status: int = 200, **more: Any) -> Self:
        return cls(status=status, body=text.encode(), **more).with_header("Content-Type", "text/plain")

    @classmethod
    def gzipped(cls, body: bytes, **more: Any) -> Self:
        return cls(body=gzip.compress(body), **more).with_header("Content-Encoding", "gzip")

    @classmethod
    def redirect(cls, target: str, status: int = 302) -> Self:
        return cls(status=status).with_header("Location", target)

    @classmethod
    def close(cls) -> Self:
        return cls(fate="close")

    @classmethod
    def reset(cls) -> Self:
        return cls(fate="reset")

    def with_header(self, name: str, value: str) -> Self:
        return replace(self, headers={name: value, **self.headers})


Answer = Reply | Callable[[Request], Reply]


class FaultServer:
    def __init__(self, *, tls: bool = False, host: str = "127.0.0.1") -> None:
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self._answers: dict[str, list[Answer]] = {}
        self._lock = threading.Lock()
        self._server = _Server((host, 0), self, tls_context() if tls else None)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"

    def answer(self, path: str, *answers: Answer) -> str:
        """Set what comes from ``path``, and return its URL."""
        with self._lock:
            self._answers[path] = list(answers)
        return self.url + path

    def next_reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            answers = self._answers.get(request.path, [Reply.json({}, status=404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(request) if callable(answer) else answer

    @property
    def connections(self) -> int:
        """How many connections the requests came over."""
        return len({request.connection for request in self.requests})

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() then waits for them

    def __init__(self, address: tuple[str, int], owner: FaultServer, context: ssl.SSLContext | None) -> None:
        self.owner, self.context = owner, context
        self.open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def hang_up(self) -> None:
        for connection in tuple(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was first

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        if self.server.context:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.server.open.discard(self.request)
        self.request.close()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, headers, id(self))
        reply = self.server.owner.next_reply(request)
        self.server.owner.stopping.wait(reply.delay)
        if reply.fate != "answer" or reply.missing:
            self.close_connection = True
        if reply.fate == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.fate == "answer":
            self._send(reply, with_body=self.command != "HEAD")

    do_HEAD = do_POST = do_GET  # noqa: N815 - names that the library looks for

    def _send(self, reply: Reply, *, with_body: bool) -> None:
        for piece in (
            *_pieces(_head(reply), reply.trickle_head),
            *_pieces(reply.body if with_body else b"", reply.trickle),
        ):
            if self.server.owner.stopping.is_set():
                return
            self.wfile.write(piece)
            if len(piece) == 1:
                self.server.owner.stopping.wait(reply.trickle or reply.trickle_head)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _head(reply: Reply) -> bytes:
    length = {"Content-Length": str(len(reply.body) + reply.missing)}
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Unknown"
    lines = [
        f"HTTP/1.1 {reply.status} {phrase}",
        *(f"{name}: {value}" for name, value in {**length, **reply.headers}.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _pieces(data: bytes, slowly: float) -> Iterator[bytes]:
    if slowly:
        yield from (data[at : at + 1] for at in range(len(data)))
    elif data:
        yield data


def tls_context() -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that nobody has signed but itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=loopback")
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pem").write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(Path(folder, "pem"))
    return context
