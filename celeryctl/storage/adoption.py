"""The tables of the application that this one replaces: several addresses and cards a user, card numbers in the clear.

Each user's newest rows are kept, their numbers encrypted. The old tables are gone afterwards, in the same transaction.
"""

from collections.abc import Mapping, Sequence

from psycopg2.extras import execute_values

from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database

ASIDE = "celeryctl_adopted"  # the schema of the old tables while the new ones are filled
BATCH = 1000  # cards in memory at a time
TABLES: Mapping[str, set[str]] = {
    "users": {"id", "external_id", "name", "username", "email"},
    "addresses": {"id", "user_id", "street_number", "street_name", "city", "state", "country", "postal_code"},
    "credit_cards": {"id", "user_id", "card_number", "card_type", "expiry_date"},
}

COLUMNS = """
SELECT table_name::text, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ANY (%s) GROUP BY 1
"""
# As JSON, whatever types their columns have, and whether those that may be missing are there.
OLD = "(SELECT to_jsonb(t) AS r FROM {schema}{table} t) AS old"
KEPT_USERS = "r->>'external_id' IS NOT NULL"
KEPT_CHILDREN = """(r->>'user_id')::bigint IN (SELECT (r->>'id')::bigint FROM {users} WHERE {kept_users})
AND (r->>'card_number') IS DISTINCT FROM '' AND (r->>'card_number' IS NOT NULL OR NOT r ? 'card_number')"""
COUNT_USERS = "SELECT count(*), count(*) FILTER (WHERE {kept}) FROM {old}"
COUNT_CHILDREN = "SELECT count(*), count(DISTINCT r->>'user_id') FILTER (WHERE {kept}) FROM {old}"

CREATED = "coalesce((r->>'created_at')::timestamptz, now())"
UPDATED = "coalesce((r->>'updated_at')::timestamptz, (r->>'created_at')::timestamptz, now())"
USERS = """
INSERT INTO users (id, external_id, name, username, email, phone, website, company_name, company_catchphrase,
                   company_bs, created_at, updated_at)
SELECT (r->>'id')::bigint, (r->>'external_id')::bigint, coalesce(r->>'name', ''), coalesce(r->>'username', ''),
  coalesce(r->>'email', ''), r->>'phone', r->>'website', r->>'company_name', r->>'company_catchphrase',
  r->>'company_bs', {created}, {updated}
FROM {old} WHERE {kept}
"""
NEXT_ID = "SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM users), false)"
NEWEST = """
SELECT DISTINCT ON (user_id) (r->>'user_id')::bigint AS user_id, {columns}, {created}, {updated}, {updated}
FROM {old} WHERE {kept} AND (r->>'user_id')::bigint > %(after)s
ORDER BY user_id, {updated} DESC, (r->>'id')::bigint DESC LIMIT %(most)s
"""
PLACE = ("street_number", "street_name", "city", "state", "country", "postal_code")
CARD = ("card_number", "card_type", "expiry_date")
INSERT = "INSERT INTO {table} (user_id, {columns}, created_at, updated_at, fetched_at) "


def strange() -> list[str]:
    """Which of our tables' names are taken, asked where celeryctl has made no table yet."""
    return [name for name in TABLES if database.table_exists(name)]


def is_known() -> bool:
    """Whether the tables are those of the application that this one replaces: all of them, with what they need."""
    found = dict(database.execute_sql(COLUMNS, (list(TABLES),)).fetchall())
    return all(columns <= set(found.get(table, ())) for table, columns in TABLES.items())


def told() -> str:
    """How many rows each table has, and how many of them would be kept."""
    counts = {table: _ask(COUNT_USERS if table == "users" else COUNT_CHILDREN, table).fetchone() for table in TABLES}
    return ", ".join(f"{kept:,} of {rows:,} {table.replace('_', ' ')}" for table, (rows, kept) in counts.items())


def set_aside() -> None:
    """Move the tables out of the way, with their indexes and sequences. In the transaction of the caller."""
    database.execute_sql(f"CREATE SCHEMA {ASIDE}")
    for table in TABLES:
        database.execute_sql(f"ALTER TABLE {table} SET SCHEMA {ASIDE}")


def take_over(ring: Keyring) -> None:
    """Fill the new tables from those that were set aside, and drop these. In the transaction of the caller."""
    _ask(USERS, "users", schema=ASIDE)
    database.execute_sql(NEXT_ID)
    everything = {"after": 0, "most": None}
    _ask(_insert("addresses", PLACE) + NEWEST, "addresses", everything, schema=ASIDE, columns=PLACE)
    after = 0
    while rows := _ask(NEWEST, "credit_cards", {"after": after, "most": BATCH}, schema=ASIDE, columns=CARD).fetchall():
        after = rows[-1][0]
        sealed = ring.seal_all([(number, f"credit_cards|{user_id}") for user_id, number, *_ in rows])
        values = [(user_id, seal, *rest) for (user_id, _, *rest), seal in zip(rows, sealed, strict=True)]
        with database.cursor() as cursor:
            execute_values(cursor, _insert("credit_cards", CARD) + "VALUES %s", values, page_size=BATCH)
    database.execute_sql(f"DROP SCHEMA {ASIDE} CASCADE")


def _insert(table: str, columns: Sequence[str]) -> str:
    return INSERT.format(table=table, columns=", ".join(columns))


def _ask(statement: str, table: str, parameters: object = None, *, schema: str = "", columns: Sequence[str] = ()):  # type: ignore[no-untyped-def]
    """What a statement about an old table says. All names in it are ours."""
    place = f"{schema}." if schema else ""
    old, users = (OLD.format(schema=place, table=one) for one in (table, "users"))
    kept = KEPT_USERS if table == "users" else KEPT_CHILDREN.format(users=users, kept_users=KEPT_USERS)
    fields = ", ".join(f"coalesce(r->>'{name}', '') AS {name}" for name in columns)
    made = statement.format(old=old, kept=kept, created=CREATED, updated=UPDATED, columns=fields)
    return database.execute_sql(made, parameters)
