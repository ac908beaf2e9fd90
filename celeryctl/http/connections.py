"""Connections that keep a deadline and, unless that is allowed, reach no private address."""

import contextlib
import http.client
import io
import ipaddress
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
from urllib3.response import HTTPResponse
from urllib3.util import Timeout

from celeryctl.errors import SourceError

NAT64 = ipaddress.ip_network("64:ff9b::/96")


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


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also where it is an IPv4 address in the clothes of IPv6."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    for address in addresses:
        if not is_public(address):
            raise SourceError(
                f"the source at {host} lies on a private address",
                why=f"{address} is not an address of the open internet",
                fix="export ALLOW_PRIVATE_SOURCES=1    (only if that server is meant)",
            )


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
        if _terms.get().allow_private:
            return super()._new_conn()
        with contextlib.suppress(socket.gaierror):  # then connecting fails likewise, and says so
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            refuse_private(self.host, (str(entry[4][0]) for entry in found))
        sock = super()._new_conn()
        try:
            # The name may have been given another address between the two look-ups.
            refuse_private(self.host, [sock.getpeername()[0]])
        except BaseException:
            sock.close()
            raise
        return sock


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
