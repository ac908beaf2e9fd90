"""What a role may do with our tables: what nobody but their owner may, and what the one in use lacks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import TABLES

# Whoever may write may add to the audit what it has seen, but neither forge when and as which role, nor change it. And
# whoever could write a history of migrations would decide which of them the owner makes. A trigger would do as well:
# it runs as whoever writes the table. Without a history of ours a table of these names is somebody else's.
ADDED = ("user_id", "who", "host")
EXCESS = """
SELECT c.oid::regclass::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
  array_agg(DISTINCT a.privilege_type ORDER BY a.privilege_type) FILTER (WHERE NOT a.meant),
  bool_or(a.privilege_type = 'INSERT') AND c.relname = 'reveals', pg_has_role(c.relowner, 'USAGE')
FROM pg_class c, LATERAL (
  SELECT grantee, privilege_type, false AS meant FROM aclexplode(c.relacl)
  UNION ALL SELECT x.grantee, x.privilege_type,
    x.privilege_type = 'INSERT' AND c.relname = 'reveals' AND t.attname = ANY (%s)
  FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid) a
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
  AND (c.relname = 'reveals' OR starts_with(c.relname, 'celeryctl_migrations'))
  AND to_regclass('celeryctl_migrations') IS NOT NULL AND a.grantee <> c.relowner
  AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
GROUP BY c.oid, c.relname, c.relowner, a.grantee HAVING NOT bool_and(a.meant) ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Excess:
    """What a role may do with a table and should not; both names are quoted for SQL.

    ``adds`` says that it may add to the audit, which stays; ``ours`` that the role in use may take the rest away.
    """

    table: str
    role: str
    rights: Sequence[str]
    adds: bool
    ours: bool


def excess() -> list[Excess]:
    """What anybody may do with the audit and the histories of migrations beyond what is meant."""
    with session():
        return [Excess(*row) for row in database.execute_sql(EXCESS, (list(ADDED),)).fetchall()]


def narrow() -> None:
    """Take from those who may write every table what is not meant by that, where the role in use may."""
    with transaction():
        for one in filter(lambda found: found.ours, excess()):
            # Doubled percent signs: the driver takes a single one for a parameter, and a role's name may have any.
            table, role = one.table.replace("%", "%%"), one.role.replace("%", "%%")
            # Rights on columns go with those on the table, those that the role has passed on with its own.
            database.execute_sql(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON {table} FROM {role} CASCADE")
            if one.adds:
                database.execute_sql(f"GRANT INSERT ({', '.join(ADDED)}) ON {table} TO {role}")


@contextmanager
def narrowed() -> Iterator[None]:
    """`narrow` what there is after the block, however that ends."""
    try:
        yield
    finally:
        narrow()


# Tables that are not there lack no right: they are another matter.
HELD = """
SELECT current_user, p.privilege, p.held, p.object FROM (
  SELECT n AS object, p AS privilege, has_table_privilege(to_regclass(quote_ident(n))::oid, p) AS held
  FROM unnest(%(tables)s::text[]) AS n, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p WHERE n <> 'reveals'
  UNION ALL SELECT 'reveals', p, has_any_column_privilege(to_regclass('reveals')::oid, p)
  FROM unnest(ARRAY['SELECT', 'INSERT']) AS p
  UNION ALL SELECT 'tokens', 'USAGE', has_sequence_privilege(to_regclass('tokens')::oid, 'USAGE')
  UNION ALL SELECT current_database(), 'TEMPORARY', has_database_privilege(current_database(), 'TEMPORARY')) AS p
WHERE p.held IS NOT NULL ORDER BY p.object, p.privilege
"""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the role in use may do. ``lacks`` are rights on objects, ``writes`` says that it has some to write."""

    role: str
    writes: bool
    lacks: Sequence[str]


def rights(tables: Sequence[str]) -> Rights:
    """What it may do with the ledger and these further tables. Of one that only reads it lacks no right to write."""
    with session():
        found = database.execute_sql(HELD, {"tables": [*TABLES, *tables]}).fetchall()
    writes = any(held and privilege in ("INSERT", "UPDATE", "DELETE") for _, privilege, held, _ in found)
    lacks = [
        f"{privilege} on {name}" for _, privilege, held, name in found if not held and (writes or privilege == "SELECT")
    ]
    return Rights(found[0][0], writes, lacks)
