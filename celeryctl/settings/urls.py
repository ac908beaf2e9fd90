"""Parsers of URLs: of the database, the broker, the sources. None repeats the URL in what it raises."""

import os
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from celeryctl.errors import SettingsError
from celeryctl.settings.secret import Secret

DATABASE = "postgresql://user:password@host:5432/name, or any other libpq URI"
REDIS = "redis://:password@host:6379/0, or rediss:// for TLS"
SOURCE = "http://… or https://…"
VERIFIED = "ssl_cert_reqs=required"
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
OTHERS = ("ssl_password", "ssl_cert_reqs")
REQUIRED = ("required", "CERT_REQUIRED")  # Celery takes both, redis-py the first
UNCHECKED = (
    "a certificate that is not checked protects nobody: leave ssl_cert_reqs out; ssl_ca_certs=/path names your own"
)
ENCODE = "special characters in a password are percent-encoded: @ is %40, / is %2F, : is %3A"


def database_url(text: str) -> Secret:
    """Any libpq URI, several hosts, ``?host=/folder`` and TLS parameters included."""
    if not text.startswith(("postgresql://", "postgres://")):
        raise _refusal(DATABASE, "it begins with neither postgresql:// nor postgres://")
    parameters = _libpq(text)
    # libpq takes the first @ for the end of the password; a leading one names an abstract socket.
    if any("@" in host[1:] for host in parameters.get("host", "").split(",")):
        raise _refusal(DATABASE, ENCODE)
    ports = [port for port in parameters.get("port", "").split(",") if port]
    if not all(_is_port(port) for port in ports):
        raise _refusal(DATABASE, f"a port is a number from 1 to 65535; {ENCODE}")
    return Secret(text)


def _libpq(text: str) -> dict[str, str]:
    from psycopg2 import ProgrammingError
    from psycopg2.extensions import parse_dsn

    if not text.isprintable():
        raise _refusal(DATABASE, "it holds control characters")
    try:
        parameters: dict[str, str] = parse_dsn(text)
    except ProgrammingError as exc:
        # libpq quotes what it does not understand, which may be the password.
        reason = re.sub(r'".*"', "…", str(exc).removeprefix("invalid dsn: ").strip(), flags=re.DOTALL)
        raise _refusal(DATABASE, f"libpq says: {reason}") from None
    return parameters


def redis_url(text: str) -> Secret:
    """A URL that Celery, redis-py and the rate budget all read alike."""
    parts = _split(text, REDIS, "redis", "rediss")
    if not re.fullmatch(r"/?\d{0,5}", parts.path, re.ASCII):
        raise _refusal(REDIS, "the path is the number of a database")
    if parts.fragment:
        raise _refusal(REDIS, ENCODE)
    return Secret(_verified(text, parts))


def _verified(text: str, parts: SplitResult) -> str:
    """The URL with what makes everybody check the server's certificate: left to itself, kombu would not.

    There is no switch to turn it off, and no parameter that one of the three reads and another does not.
    """
    given = tls(text)
    if not given and not parts.query:
        return f"{text.partition('?')[0]}?{VERIFIED}" if parts.scheme == "rediss" else text
    if parts.scheme != "rediss":
        raise _refusal(REDIS, "parameters are for rediss:// only")
    if len(parse_qsl(parts.query, keep_blank_values=True)) != len(given) or not given.keys() <= {*FILES, *OTHERS}:
        raise _refusal(REDIS, f"of parameters there are {', '.join((*FILES, *OTHERS))}, each at most once")
    if given.get("ssl_cert_reqs", "required") not in REQUIRED:
        raise _refusal(REDIS, UNCHECKED)
    if unreadable := [name for name in FILES if name in given and not os.access(given[name], os.R_OK)]:
        raise _refusal(REDIS, f"{' and '.join(unreadable)}: there is no such file, or it cannot be read")
    front, _, query = text.partition("?")
    others = [one for one in query.split("&") if one and "ssl_cert_reqs" not in dict(parse_qsl(one))]
    return f"{front}?{'&'.join([*others, VERIFIED])}"


def tls(url: str) -> dict[str, str]:
    """The parameters of TLS in a broker's URL."""
    return dict(parse_qsl(urlsplit(url).query))


def source_url(text: str) -> str:
    """Where a source is. Credentials go into the header instead: a URL ends up in logs."""
    parts = _split(text, SOURCE, "http", "https")
    if "@" in parts.netloc:
        raise _refusal(SOURCE, "user and password do not belong into it: use <DATASET>_AUTHORIZATION")
    return text


def _split(text: str, allowed: str, *schemes: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise _refusal(allowed, "it holds spaces or control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal(allowed, f"host and port cannot be read; {ENCODE}") from None
    if parts.scheme not in schemes:
        raise _refusal(allowed, f"it begins with neither {' nor '.join(f'{scheme}://' for scheme in schemes)}")
    if not host or port == 0:
        raise _refusal(allowed, "there is no host" if not host else "a port is a number from 1 to 65535")
    return parts


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"\d{1,5}", text, re.ASCII)) and 0 < int(text) < 65_536


def _refusal(allowed: str, reason: str) -> SettingsError:
    return SettingsError("this is no such URL", why=f"{allowed} ({reason})")
