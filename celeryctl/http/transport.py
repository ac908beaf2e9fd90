"""One request to a source and the body of its answer, within a deadline; no second try, no judgement."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import requests
from urllib3.exceptions import HTTPError

from celeryctl.http.answers import Meter
from celeryctl.http.connections import Adapter, Terms, under
from celeryctl.http.faults import refusal, same_site, site, translate, was_sent

CHUNK = 65_536
SHORT_SECRET = 6  # characters; replacing shorter texts in a message would garble it


class Origin(Protocol):
    """What must be known of a source; a part of settings.SourceSettings."""

    @property
    def url(self) -> str: ...
    @property
    def authorization(self) -> str | None: ...


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """None: requests would read the whole body of a redirect, however large; the client follows by itself."""
        return None


def _session(pool_size: int) -> requests.Session:
    session = _Session()
    # Neither proxies, netrc files nor certificates come from the environment; no cookie is kept.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    agent = f"celeryctl/{importlib.metadata.version('celeryctl')}"
    session.headers.update({"User-Agent": agent, "Accept": "application/json", "Accept-Encoding": "gzip"})
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(pool_maxsize=pool_size))
    return session


@dataclass(kw_only=True)
class Transport:
    sources: Mapping[str, Origin]
    connect_timeout: float
    read_timeout: float
    allow_private: bool
    pool_size: int

    def __post_init__(self) -> None:
        self._session = _session(self.pool_size)

    def close(self) -> None:
        self._session.close()

    def check(self, url: str, source: str) -> None:
        """Raise SourceError for a URL that is none, or that leads away from the server that is set for the source."""
        try:
            parts = urlsplit(url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise refusal(source, "cannot be asked", "its URL is not an http or https URL")
        origin = self.sources.get(source)
        if origin and not same_site(origin.url, url):
            raise refusal(source, "names another server", f"{site(url)} in place of {site(origin.url)}; not followed")

    def send(self, url: str, *, source: str, until: float, left: float, meter: Meter) -> requests.Response:
        """The head of the answer. ``until`` is the deadline on time.monotonic(), ``left`` the seconds to it."""
        timeout = (min(self.connect_timeout, left), min(self.read_timeout, left))
        try:
            with under(Terms(until, self.allow_private)):
                response = self._session.get(url, headers=self._headers(source), stream=True, timeout=timeout)
        except (requests.RequestException, HTTPError) as exc:
            if was_sent(exc):
                meter.count_request()
            raise translate(exc, source=source, url=url) from exc
        meter.count_request()
        return response

    def read(self, response: requests.Response, *, source: str, most: int) -> bytes:
        """The decompressed body; of a longer one only a beginning that is longer than ``most``."""
        body = bytearray()
        response.raw.decode_content = True
        try:
            # Not read(): it would wait until the whole chunk is there.
            while len(body) <= most and (chunk := response.raw.read1(CHUNK)):
                body += chunk
        except HTTPError as exc:
            raise translate(exc, source=source, url=response.url) from exc
        return bytes(body)

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
