"""The pooled connection to PostgreSQL that every model shares."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import peewee
import psycopg2
import psycopg2.errors
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg2.extensions import make_dsn, parse_dsn

from celeryctl.errors import CeleryctlError, DatabaseUnreachableError, RefusedError, SchemaError

POOL_WAIT = 30  # seconds that a thread waits for a free connection of the pool
SESSION = (
    "-c timezone=UTC -c statement_timeout=300s -c lock_timeout=60s "
    "-c idle_in_transaction_session_timeout=60s -c client_min_messages=warning"
)
# A server that has vanished without a word is given up after some 20 s, not after hours.
CONNECTION = {
    "application_name": "celeryctl",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
# SQLSTATE classes that say nothing about a row: connection, standby, login, deadlock, resources, locks, shutdown, disk.
PASSING = ("08", "25", "28", "3D", "40", "53", "55P", "57", "58")

database = PooledPostgresqlDatabase(None)


def close() -> None:
    """Close every connection of this process."""
    if not database.deferred:
        database.close_all()


def configure(url: str, *, pool_size: int = 8) -> None:
    """Say which database the models live in. Nothing is opened yet; a pool from before is closed."""
    close()
    parameters = parameters_of(url)
    name = parameters.pop("dbname", None) or parameters.get("user") or "postgres"
    # `init` adds to what there is: nothing that the former URL alone asked for, such as its password, may go here.
    database.connect_params.clear()
    database.init(name, max_connections=pool_size, timeout=POOL_WAIT, **parameters)


def parameters_of(url: str) -> dict[str, str]:
    """libpq's parameters in ``url``, with our time-outs beneath those that the URL sets itself."""
    parameters = {**CONNECTION, **parse_dsn(url)}
    parameters["options"] = f"{SESSION} {parameters.get('options', '')}".strip()
    return parameters


def connect_once(url: str) -> "psycopg2.extensions.connection":
    """A connection outside the pool, in autocommit mode, for a process that must not hold one."""
    try:
        connection = psycopg2.connect(make_dsn(**parameters_of(url)))
    except psycopg2.OperationalError as exc:
        raise translate(exc) from None
    connection.autocommit = True
    return connection


def forget() -> None:
    """Drop the pool without closing it: after a fork its connections belong to the parent."""
    database.dispose()


@contextmanager
def session() -> Iterator[None]:
    """Hold one connection of the pool; nested calls share it. Errors of the database come out as ours."""
    try:
        with database.connection_context():
            yield
    except (peewee.PeeweeException, psycopg2.Error, MaxConnectionsExceeded) as exc:
        raise translate(exc) from None


@contextmanager
def transaction() -> Iterator[None]:
    """Like `session`, with everything inside committed together or not at all."""
    with session(), database.atomic():
        yield


def translate(exc: BaseException) -> CeleryctlError:
    """Our error for one of psycopg2's or Peewee's.

    Only the server's primary message is kept: its DETAIL repeats the row's values, which may be a card number.
    """
    origin = getattr(exc, "orig", None) or exc  # Peewee keeps psycopg2's there
    code = getattr(origin, "pgcode", None)
    if isinstance(origin, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedColumn):
        return SchemaError("the database's tables are missing or behind", why=_primary(origin), fix="celeryctl init-db")
    if code is not None and code.startswith("42"):
        # A statement that may not or cannot be made: no row is to blame.
        fix = "celeryctl doctor    (its line `rights` says what the user of DATABASE_URL may do)"
        return SchemaError("the database does not let us", why=_primary(origin), fix=fix)
    if isinstance(exc, MaxConnectionsExceeded):
        return DatabaseUnreachableError(
            "no database connection became free",
            why=f"the pool was busy for {POOL_WAIT} s",
            fix="raise DATABASE_POOL_SIZE",
        )
    if code is None or code.startswith(PASSING):
        return DatabaseUnreachableError(
            "the database does not answer", why=_first_line(origin), fix="celeryctl config show    (see DATABASE_URL)"
        )
    return RefusedError(why=_primary(origin))


def _primary(exc: object) -> str:
    message = getattr(getattr(exc, "diag", None), "message_primary", None) or type(exc).__name__
    # Of a value that does not fit its type even the primary message quotes it.
    return re.sub('".*"', '"…"', message, flags=re.DOTALL) if isinstance(exc, psycopg2.DataError) else message


def _first_line(exc: object) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
