"""Connections that keep a deadline and, unless that is allowed, reach no private address."""

import contextlib
import http.client
import io
import math
import socket
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests.adapters

# Not from urllib3.connection, where whoever replaces the connections (vcrpy does) replaces these names too.
from urllib3.connectionpool import (  # type: ignore[attr-defined]
    HTTPConnection,
    HTTPConnectionPool,
    HTTPSConnection,
    HTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util import Timeout
from urllib3.util.connection import allowed_gai_family

from celeryctl.http.addresses import refuse_private


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the requests that this thread sends now. ``until`` is an instant of time.monotonic()."""

    until: float = math.inf
    allow_private: bool = False


_terms: ContextVar[Terms] = ContextVar("terms", default=Terms())  # noqa: B039 - Terms is frozen


@contextlib.contextmanager
def under(terms: Terms) -> Iterator[None]:
    token = _terms.set(terms)
    try:
        yield
    finally:
        _terms.reset(token)


class _TimedReader(io.RawIOBase):
    """A socket's stream that is read until the deadline at most.

    The socket's own time-out starts anew with every byte, so a server that trickles would hold us for ever.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._until, self._timeout = _terms.get().until, sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        if left < math.inf:
            self._sock.settimeout(min(left, self._timeout or left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _GuardedConnection(HTTPConnection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        name, timeout = self.host, self.timeout
        try:
            found = socket.getaddrinfo(name, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            return super()._new_conn()  # fails likewise, and says so
        addresses = [str(entry[4][0]) for entry in found]
        if not _terms.get().allow_private:
            refuse_private(name, addresses)
        try:
            return self._first(addresses)
        finally:
            self.host, self.timeout = name, timeout

    def _first(self, addresses: Iterable[str]) -> socket.socket:
        """A connection to the first that answers.

        Not by name: another look-up could give other addresses. One by one: urllib3 gives each the whole time-out.
        """
        for address in addresses:
            left = _terms.get().until - time.monotonic()
            self.host, self.timeout = address, min(self.timeout or left, max(left, 0.001))
            try:
                return super()._new_conn()
            except (ConnectTimeoutError, NewConnectionError) as exc:
                error = exc
                if left <= 0:
                    break
        raise error


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    # Not a plain attribute: whoever replaces urllib3's connections (vcrpy does) is to replace these as well.
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]  # noqa: N802 - urllib3's name
        usual = super().ConnectionCls
        return _GuardedConnection if usual is HTTPConnection else usual


class _TLSPool(HTTPSConnectionPool):
    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]  # noqa: N802 - urllib3's name
        usual = super().ConnectionCls
        return _GuardedTLSConnection if usual is HTTPSConnection else usual


class Adapter(requests.adapters.HTTPAdapter):
    """requests' way to urllib3, over these connections."""

    def open(self, request: requests.PreparedRequest, *, connect: float, read: float) -> HTTPResponse:
        """The head of the answer to a GET, without what `send` makes of it: much of the work where answers are small.

        Times are in seconds. Raises urllib3's exceptions.
        """
        scheme, host, *_ = urlsplit(str(request.url))
        pool = self._pools.get((scheme, host)) or self._made(scheme, host)
        return pool.urlopen(  # type: ignore[no-any-return]
            "GET",
            request.path_url,
            headers=request.headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=True,
            retries=self.max_retries,
            timeout=Timeout(connect=connect, read=read),
        )

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        super().close()

    def _made(self, scheme: str, host: str) -> Any:
        """The connections to a server, whose certificate is looked at."""
        request = requests.Request("GET", f"{scheme}://{host}/").prepare()
        pool = self.get_connection_with_tls_context(request, verify=True)
        self.cert_verify(pool, request.url, verify=True, cert=None)  # type: ignore[no-untyped-call]
        self._pools[scheme, host] = pool
        return pool

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._pools: dict[tuple[str, str], Any] = {}  # one for each server of a source, and those are few
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
