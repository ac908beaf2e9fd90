"""Metrics as Prometheus reads them: the registry that a page is made from, and the server of that page."""

import errno
import logging
import os
import socket
from hashlib import blake2b
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Info, disable_created_metrics, make_wsgi_app

from celeryctl import __version__
from celeryctl.errors import CeleryctlError
from celeryctl.logs import mask, one_line

logger = logging.getLogger(__name__)

METRICS = "/metrics"
PAGES = {
    "/": ("200 OK", "text/html", b'<!doctype html><title>celeryctl</title><a href="/metrics">Metrics</a>\n'),
    "/healthz": ("200 OK", "text/plain", b"ok\n"),
}
NOT_FOUND = ("404 Not Found", "text/plain", b"There is /metrics, and /healthz.\n")
KEY = os.urandom(16)  # this process's: without it a digest would tell much about the few digits that are hidden
PORT_FIX = "set METRICS_PORT to a free port"
PATIENCE = 10.0  # seconds that a client may take with its request


def new_registry() -> CollectorRegistry:
    """A registry that holds the version, and nothing of this process."""
    # For every series there would be a second one, which text without OpenMetrics shows as a metric of its own.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    Info("celeryctl_build", "The version of celeryctl.", registry=registry).info({"version": __version__})
    return registry


def label(text: str) -> str:
    """What may be shown of it, in one line; where that is not all, with a mark that no other text has.

    Names that are hidden alike would be one series twice, and Prometheus would take nothing of the page.
    """
    shown = one_line(mask(text))
    return shown if shown == text else f"{shown}-{blake2b(text.encode(), digest_size=6, key=KEY).hexdigest()}"


def listen(host: str, port: int, registry: CollectorRegistry, *, fix: str = PORT_FIX) -> WSGIServer:
    """Listen there; ``serve_forever`` of what is returned answers.

    Raises CeleryctlError where nobody could listen, with this ``fix`` where that is the port's fault.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server = type("Server", (_Server,), {"address_family": family})
        return make_server(host, port, _pages(make_wsgi_app(registry)), server, _Handler)
    except OSError as exc:
        by_port = exc.errno in {errno.EADDRINUSE, errno.EACCES}
        raise CeleryctlError(
            f"the metrics cannot be served on {host}:{port}",
            why=exc.strerror or str(exc),
            fix=fix if by_port else "set METRICS_HOST to an address of this machine",
        ) from None


def _pages(metrics: Any) -> Any:
    """What is there beside the metrics costs nothing: a probe is no scrape."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == METRICS:
            return metrics(environ, start_response)
        status, kind, body = PAGES.get(environ["PATH_INFO"], NOT_FOUND)
        start_response(status, [("Content-Type", f"{kind}; charset=utf-8")])
        return [body]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer would look up this machine's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        logger.debug("a client of the metrics went away", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, *_: Any) -> None:
        """Every scrape would be a line of the log."""
