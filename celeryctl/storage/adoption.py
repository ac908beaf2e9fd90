"""The tables of the application that this one replaces: several addresses and cards a user, card numbers in the clear.

Each user's newest rows are kept, their numbers encrypted. The old tables are gone afterwards, in the same transaction.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
OURS = "fetched_at"  # no table of theirs has it
MORE = {"phone", "website", "company_name", "company_catchphrase", "company_bs", "created_at", "updated_at"}

COLUMNS = """
SELECT table_name::text, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ANY (%s) GROUP BY 1
"""
# Views and foreign keys of others.
HANGING = """
WITH theirs AS (SELECT unnest(%(tables)s::text[])::regclass::oid AS oid)
SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid IN (SELECT oid FROM theirs)
  AND r.ev_class NOT IN (SELECT oid FROM theirs)
UNION SELECT conrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND confrelid IN (SELECT oid FROM theirs) AND conrelid NOT IN (SELECT oid FROM theirs)
"""
# As JSON, whatever types their columns have, and whether those that may be missing are there.
OLD = "(SELECT to_jsonb(t) AS r FROM {schema}{table} t) AS old"
KEPT_USERS = "r->>'external_id' IS NOT NULL"
KEPT_CHILDREN = """(r->>'user_id')::bigint IN (SELECT (r->>'id')::bigint FROM {users} WHERE {kept_users})
AND (r->>'card_number') IS DISTINCT FROM '' AND (r->>'card_number' IS NOT NULL OR NOT r ? 'card_number')"""
COUNT_USERS = "SELECT count(*), count(*) FILTER (WHERE {kept}) FROM {old}"
COUNT_CHILDREN = "SELECT count(*), count(DISTINCT r->>'user_id') FILTER (WHERE {kept}) FROM {old}"

CREATED = "coalesce((r->>'created_at')::timestamptz, now())"
LAST = "coalesce((r->>'updated_at')::timestamptz, (r->>'created_at')::timestamptz)"
UPDATED = f"coalesce({LAST}, now())"
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
FROM {old} WHERE {kept} ORDER BY user_id, {last} DESC NULLS LAST, (r->>'id')::bigint DESC
"""
PLACE = ("street_number", "street_name", "city", "state", "country", "postal_code")
CARD = ("card_number", "card_type", "expiry_date")
INSERT = "INSERT INTO {table} (user_id, {columns}, created_at, updated_at, fetched_at) "


def strange() -> list[str]:
    """Which of our tables' names are taken, asked where celeryctl has made no table yet."""
    return [name for name in TABLES if database.table_exists(name)]


def is_known() -> bool:
    """Whether the tables are those of the application that this one replaces: all of them, with what they need."""
    found = _columns()
    return all(columns <= found.get(table, set()) for table, columns in TABLES.items()) and not any(
        OURS in columns for columns in found.values()
    )


def hanging() -> list[str]:
    """What others have made that hangs on the tables, and would go with them: views, and tables with foreign keys."""
    return sorted(name for (name,) in database.execute_sql(HANGING, {"tables": list(TABLES)}).fetchall())


def strange_columns() -> list[str]:
    """Columns that nothing of ours corresponds to."""
    return sorted(f"{table}.{name}" for table, names in _columns().items() for name in names - TABLES[table] - MORE)


def told(schema: str = "") -> str:
    """How many rows each table has, and how many of them are kept."""
    asked = {table: COUNT_USERS if table == "users" else COUNT_CHILDREN for table in TABLES}
    counts = {table: database.execute_sql(_made(count, table, schema)).fetchone() for table, count in asked.items()}
    return ", ".join(f"{kept:,} of {rows:,} {table.replace('_', ' ')}" for table, (rows, kept) in counts.items())


def set_aside() -> None:
    """Move the tables out of the way, with their indexes and sequences. In the transaction of the caller."""
    database.execute_sql(f"CREATE SCHEMA {ASIDE}")
    for table in TABLES:
        database.execute_sql(f"ALTER TABLE {table} SET SCHEMA {ASIDE}")


def take_over(ring: Keyring) -> None:
    """Fill the new tables from those that were set aside, and drop these. In the transaction of the caller."""
    database.execute_sql(_made(USERS, "users", ASIDE))
    database.execute_sql(NEXT_ID)
    database.execute_sql(_insert("addresses", PLACE) + _made(NEWEST, "addresses", ASIDE, PLACE))
    for rows in _cards():
        sealed = ring.seal_all([(number, f"credit_cards|{user_id}") for user_id, number, *_ in rows])
        values = [(user_id, seal, *rest) for (user_id, _, *rest), seal in zip(rows, sealed, strict=True)]
        with database.cursor() as cursor:
            execute_values(cursor, _insert("credit_cards", CARD) + "VALUES %s", values, page_size=BATCH)
    database.execute_sql(f"DROP TABLE {', '.join(f'{ASIDE}.{table}' for table in TABLES)}")
    database.execute_sql(f"DROP SCHEMA {ASIDE}")


def _cards() -> Iterator[Sequence[Any]]:
    """Every user's newest card, in the clear, some at a time."""
    database.execute_sql("DECLARE cards NO SCROLL CURSOR FOR " + _made(NEWEST, "credit_cards", ASIDE, CARD))
    while rows := database.execute_sql(f"FETCH {BATCH} FROM cards").fetchall():
        yield rows
    database.execute_sql("CLOSE cards")


def _columns() -> dict[str, set[str]]:
    found = database.execute_sql(COLUMNS, (list(TABLES),)).fetchall()
    return {table: set(names) for table, names in found}


def _insert(table: str, columns: Sequence[str]) -> str:
    return INSERT.format(table=table, columns=", ".join(columns))


def _made(statement: str, table: str, schema: str, columns: Sequence[str] = ()) -> str:
    """The SQL of a statement about an old table. All names in it are ours."""
    place = f"{schema}." if schema else ""
    old, users = (OLD.format(schema=place, table=one) for one in (table, "users"))
    kept = KEPT_USERS if table == "users" else KEPT_CHILDREN.format(users=users, kept_users=KEPT_USERS)
    fields = ", ".join(f"coalesce(r->>'{name}', '') AS {name}" for name in columns)
    return statement.format(old=old, kept=kept, created=CREATED, updated=UPDATED, last=LAST, columns=fields)
