"""The PostgreSQL server itself, and a look into its tables."""

from typing import Any

import peewee

from celeryctl.storage.database import database, session
from celeryctl.storage.row import dicts

# Not of pg_stat_activity: that shows the sessions of others to few.
CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  (SELECT sum(numbackends)::int FROM pg_stat_database),
  (SELECT coalesce(sum(concurrency), 0) FROM workers WHERE seen_at > now() - interval '15 seconds')
"""


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


def encryption() -> tuple[str, str | None, str]:
    """The host as the URL names it, the protocol that hides what goes there (None: nothing does), and the sslmode."""
    with session():
        found = database.connection().info
        protocol = found.ssl_attribute("protocol") if found.ssl_in_use else None
        return found.host, protocol, found.dsn_parameters.get("sslmode", "")


def ends(model: type[peewee.Model]) -> list[dict[str, Any]]:
    """The oldest and the newest row of a table; none where it is empty."""
    row_id = model._meta.fields["id"]
    with session():
        return [row for order in (row_id, -row_id) for row in dicts(model.select().order_by(order).limit(1))]
