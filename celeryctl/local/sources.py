"""The three source APIs as a server on this machine, with as much delay and failure as is asked for."""

import asyncio
import contextlib
import errno
import math
import random
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from celeryctl.errors import LocalServerError
from celeryctl.http.budget import rate_limit
from celeryctl.local.ports import free_port
from celeryctl.local.routes import JSON, ROUTES, TEXT, Answer, answer, wanted

BACKLOG = 2048
PORT_TAKEN = (errno.EADDRINUSE, errno.EACCES)
GRACE = 2  # seconds that requests under way may take at the end

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Limiter:
    """A budget per path, as the sources of the real world have one each."""

    def __init__(self, rate: RateLimitItem) -> None:
        self._rate, self._limiter = rate, MovingWindowRateLimiter(MemoryStorage())

    def wait(self, path: str) -> int:
        """Whole seconds until the next request is welcome; 0 after counting this one."""
        if self._limiter.hit(self._rate, path):
            return 0
        return max(1, math.ceil(self._limiter.get_window_stats(self._rate, path).reset_time - time.time()))


@dataclass
class App:
    """The APIs as an ASGI application. ``latency`` in seconds; ``rate_limit`` as 10/s; the same seed fails alike."""

    users: int = 10
    latency: float = 0.0
    error_rate: float = 0.0
    rate_limit: str | None = None
    seed: int = 0
    _drawn: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - faults to test with, no secrets
        self._limiter = _Limiter(rate_limit(self.rate_limit)) if self.rate_limit else None

    async def __call__(self, scope: Scope, _receive: Any, send: Send) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        status, headers, body = self._answer(scope)
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Scope) -> Answer:
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        if scope["method"] not in ("GET", "HEAD"):
            return 405, {**JSON, "Allow": "GET, HEAD"}, b"{}"
        if self._limiter and (seconds := self._limiter.wait(path)):
            return 429, {**TEXT, "Retry-After": str(seconds)}, b"Retry later\n"
        if self.error_rate and self._random.random() < self.error_rate:
            return 500, TEXT, b"Internal Server Error"
        drawn, self._drawn = self._drawn, self._drawn + wanted(path, query)
        base = f"{scope['scheme']}://{_host(scope)}"
        return answer(path, query, base=base, users=self.users, seed=self.seed, drawn=drawn)


def _host(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")


def variables(base: str) -> dict[str, str]:
    """The settings with which a cluster uses the APIs served at ``base``."""
    return {**{name: base + path for name, path in ROUTES.items()}, "ALLOW_PRIVATE_SOURCES": "1"}


def serve(
    host: str,
    port: int,
    *,
    users: int = 10,
    latency: float = 0.0,
    error_rate: float = 0.0,
    rate_limit: str | None = None,
    seed: int = 0,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM. ``ready`` is called with the base URL once connections are accepted.

    Port 0 takes a free one. Raises LocalServerError when that cannot be, SettingsError for a rate that is none.
    """
    server = _server(App(users=users, latency=latency, error_rate=error_rate, rate_limit=rate_limit, seed=seed))
    with listen(host, port) as listener:
        ready(base_url(listener))
        with _quiet_end():
            server.run(sockets=[listener])


def _server(app: App) -> Any:
    try:
        import uvicorn
    except ImportError as exc:
        why = "the extra `local` is not installed"
        fix = "pip install 'celeryctl[local]'"
        raise LocalServerError("the local source APIs cannot be served", why=why, fix=fix) from exc
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections there. Raises LocalServerError, where a port is taken with one that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise LocalServerError(
            f"the local source APIs cannot listen on {host}, port {port}",
            why=(exc.strerror or str(exc)).partition(" (")[0],
            fix="celeryctl api " + (f"--port {free_port()}" if exc.errno in PORT_TAKEN else "--host 127.0.0.1"),
        ) from exc
    # Inherited by every connection: head and body leave in two writes, and the second would wait for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def base_url(listener: socket.socket) -> str:
    """Where to reach it from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to say where, not to bind
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _quiet_end() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more: neither of the two is an error here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
