"""One request to a source and the body of its answer, within a deadline; no second try, no judgement."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from celeryctl.http.answers import Meter
from celeryctl.http.connections import Adapter, Terms, under
from celeryctl.http.faults import refusal, same_site, site, translate, was_sent

CHUNK = 65_536
PREPARED = 128  # requests kept: most of a source's are the same again and again
SHORT_SECRET = 6  # characters; replacing shorter texts in a message would garble it


class Origin(Protocol):
    """What must be known of a source; a part of settings.SourceSettings."""

    @property
    def url(self) -> str: ...
    @property
    def authorization(self) -> str | None: ...


def _session() -> requests.Session:
    """What every request carries. It sends none itself: it would keep cookies and read redirects, however large."""
    session = requests.Session()
    # Neither proxies, netrc files nor certificates come from the environment; no cookie is kept.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    agent = f"celeryctl/{importlib.metadata.version('celeryctl')}"
    session.headers.update({"User-Agent": agent, "Accept": "application/json", "Accept-Encoding": "gzip"})
    return session


@dataclass(kw_only=True)
class Transport:
    sources: Mapping[str, Origin]
    connect_timeout: float
    read_timeout: float
    allow_private: bool
    pool_size: int

    def __post_init__(self) -> None:
        self._session = _session()
        self._adapter = Adapter(pool_maxsize=self.pool_size)
        self.prepare = lru_cache(PREPARED)(self._prepare)

    def close(self) -> None:
        self._adapter.close()

    def _prepare(self, url: str, source: str) -> requests.PreparedRequest:
        """The request, which may be sent any number of times.

        Raises SourceError for what cannot be asked, or leads away from the server that is set for the source.
        """
        self._check(url, source)
        origin = self.sources.get(source)
        try:
            request = self._session.prepare_request(requests.Request("GET", url, headers=self._headers(source)))
            # Both as they are sent: where a backslash stands before an @, the libraries read different hosts.
            own = requests.Request("GET", origin.url if origin else url).prepare().url
        except requests.RequestException as exc:
            raise translate(exc, source=source, url=url) from exc
        asked, set_for_it = str(request.url), str(own)
        if not same_site(set_for_it, asked):
            why = f"{site(asked)} in place of {site(set_for_it)}; not followed"
            raise refusal(source, "names another server", why)
        return request

    def _check(self, url: str, source: str) -> None:
        """Raise SourceError for a URL that is none."""
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise refusal(source, "cannot be asked", "its URL is not an http or https URL")
        if "@" in parts.netloc:
            # They would take the place of the source's own Authorization.
            raise refusal(source, "cannot be asked", f"its URL names a user at {site(url)}")

    def send(self, url: str, *, source: str, until: float, left: float, meter: Meter) -> HTTPResponse:
        """The head of the answer. ``until`` is the deadline on time.monotonic(), ``left`` the seconds to it."""
        request = self.prepare(url, source)
        connect, read = min(self.connect_timeout, left), min(self.read_timeout, left)
        try:
            with under(Terms(until, self.allow_private)):
                response = self._adapter.open(request, connect=connect, read=read)
        except (requests.RequestException, HTTPError, OSError) as exc:
            if was_sent(exc):
                meter.count_request()
            raise translate(exc, source=source, url=url) from exc
        meter.count_request()
        return response

    def read(self, response: HTTPResponse, *, source: str, url: str, most: int) -> bytes:
        """The decompressed body; of a longer one only a beginning that is longer than ``most``."""
        chunks: list[bytes] = []
        size, length = 0, response.length_remaining
        try:
            if length is not None and length <= most and "Content-Encoding" not in response.headers:
                return response.read()  # in one piece, which spares copies
            # Not read(): of what is longer, or unpacked, it would take in all.
            while size <= most and (chunk := response.read1(CHUNK)):
                chunks.append(chunk)
                size += len(chunk)
        except HTTPError as exc:
            raise translate(exc, source=source, url=url) from exc
        return b"".join(chunks)

    def secrets(self, url: str, source: str) -> list[str]:
        """What a server may echo in an error page and no message may show."""
        authorization = self._authorization(source)
        values = [value for _, value in parse_qsl(urlsplit(url).query)]
        return [text for text in (authorization, *authorization.split(), *values) if len(text) >= SHORT_SECRET]

    def _headers(self, source: str) -> dict[str, bytes]:
        authorization = self._authorization(source)
        return {"Authorization": authorization.encode()} if authorization else {}

    def _authorization(self, source: str) -> str:
        origin = self.sources.get(source)
        return (origin.authorization if origin else None) or ""
