"""What goes wrong on the way to a source: what may pass, what will not, and how either is told without secrets.

The libraries' own texts are not shown: they hold whole URLs.
"""

import ssl
from collections.abc import Iterator
from http.client import RemoteDisconnected
from urllib.parse import urlsplit

from requests.exceptions import InvalidHeader, InvalidURL, RequestException
from urllib3 import exceptions

from celeryctl.errors import SourceError

# The first that an exception, or what caused it, is an instance of.
TEXTS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.NameResolutionError, "its name does not resolve"),
    (ConnectionRefusedError, "connection refused"),
    (exceptions.ConnectTimeoutError, "no connection in time"),
    (exceptions.ReadTimeoutError, "no complete answer in time"),
    (exceptions.DecodeError, "its answer cannot be decompressed"),
    (exceptions.IncompleteRead, "the answer broke off"),
    (RemoteDisconnected, "the connection was closed without an answer"),
    (ConnectionResetError, "the connection was reset"),
    (exceptions.SSLError, "TLS failed"),
    (ssl.SSLError, "TLS failed"),
)
# After these nothing has reached the source that it could have counted.
UNSENT = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.SSLError, InvalidHeader, InvalidURL)
# What `outcome` may be of a request that was not simply answered.
WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.NewConnectionError,), "connection"),  # urllib3's is a ConnectTimeoutError as well
    ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError, TimeoutError), "timeout"),
    ((exceptions.DecodeError,), "invalid"),
    ((exceptions.HTTPError, RequestException, OSError), "connection"),
)


class TransientError(Exception):
    """Something that may pass: worth another try, after ``retry_after`` seconds where the source said so."""

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def site(url: str) -> str:
    """Scheme, host and port of a URL: all of it that a message may show."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port}" if parts.port else f"{parts.scheme}://{host}"


def same_site(url: str, other: str) -> bool:
    """Whether ``other`` may be asked in place of ``url``: the same server, or the same host's step up to https."""
    here, there = (urlsplit(each) for each in (url, other))
    if here.hostname != there.hostname:
        return False
    ports = {"http": 80, "https": 443}
    ends = [(parts.scheme, parts.port or ports.get(parts.scheme)) for parts in (here, there)]
    return ends[0] == ends[1] or ends == [("http", 80), ("https", 443)]


def was_sent(exc: BaseException) -> bool:
    return not any(isinstance(cause, UNSENT) for cause in causes(exc))


def refusal(source: str, what: str, why: str) -> SourceError:
    variable = source.upper()
    fix = f"celeryctl config show    (see {variable}_URL, {variable}_AUTHORIZATION)"
    return SourceError(f"the source of {source} {what}", why=why, fix=fix)


def translate(exc: BaseException, *, source: str, url: str) -> TransientError | SourceError:
    """Our words for what requests or urllib3 raised: a fault, or an error where another try would end the same."""
    found = list(causes(exc))
    for cause in found:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return refusal(source, "cannot be trusted", f"the certificate of {site(url)}: {cause.verify_message}")
        if isinstance(cause, InvalidHeader | InvalidURL):
            what = "its URL" if isinstance(cause, InvalidURL) else "its Authorization header"
            return refusal(source, "cannot be asked", f"{what} is not well-formed")
    for kind, text in TEXTS:
        if any(isinstance(cause, kind) for cause in found):
            return TransientError(text)
    errors = [cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror]
    return TransientError(errors[-1].lower() if errors else "the connection failed")


def outcome(exc: BaseException, status: int | None) -> str | None:
    """How a request ended with this error: ``http_error``, ``invalid``, ``timeout`` or ``connection``.

    ``status`` is of the answer's head, where one came. None where no request was made.
    """
    found = list(causes(exc))
    for kinds, word in WORDS:
        if any(isinstance(cause, kinds) for cause in found):
            return word
    return None if status is None else "invalid" if status == 200 else "http_error"


def causes(exc: BaseException) -> Iterator[BaseException]:
    """``exc`` and what it wraps, outermost first; requests and urllib3 wrap in three different ways."""
    found: BaseException | None = exc
    while found is not None:
        yield found
        inside = (getattr(found, "reason", None), *found.args, found.__cause__)
        found = next((inner for inner in inside if isinstance(inner, BaseException)), None)
