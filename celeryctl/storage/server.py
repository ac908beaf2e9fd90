"""The PostgreSQL server itself, and a look into its tables."""

import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Any

import peewee

from celeryctl.storage.database import database, session
from celeryctl.storage.row import dicts

# Workers of the server, such as those of parallel queries, take no connection. What kind a session of somebody else is
# only few may see: to the others all count, and the number is the most that it can be.
CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  (SELECT count(*)::int FROM pg_stat_activity
   WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'),
  (SELECT coalesce(sum(concurrency), 0) FROM workers WHERE seen_at > now() - interval '15 seconds')
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How the server is reached: ``host`` as the URL names it; ``local`` if the bytes do not leave this machine.

    ``protocol`` hides what goes over (None: nothing does), ``mode`` is the URL's sslmode.
    """

    host: str
    local: bool
    protocol: str | None
    mode: str


def version() -> tuple[int, int]:
    """Major and minor."""
    with session():
        number: int = database.connection().server_version
        return divmod(number, 10_000)


def connections() -> tuple[int, int, int]:
    """How many there may be, how many there are, and how many processes the workers that live have."""
    with session():
        most, used, processes = database.execute_sql(CONNECTIONS).fetchone()
        return most, used, processes


def way() -> Way:
    with session():
        found = database.connection().info
        protocol = found.ssl_attribute("protocol") if found.ssl_in_use else None
        return Way(found.host, is_local(found.socket), protocol, found.dsn_parameters.get("sslmode", ""))


def is_local(descriptor: int) -> bool:
    """Whether a socket's other end is on this machine: asked of the socket, as a host's name may lead anywhere."""
    with socket.socket(fileno=os.dup(descriptor)) as found:
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return True  # a file
        return ipaddress.ip_address(found.getpeername()[0]).is_loopback


def ends(model: type[peewee.Model]) -> list[dict[str, Any]]:
    """The oldest and the newest row of a table; none where it is empty."""
    row_id = model._meta.fields["id"]
    with session():
        return [row for order in (row_id, -row_id) for row in dicts(model.select().order_by(order).limit(1))]
