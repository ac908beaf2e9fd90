"""What a role may do with our tables: what nobody but their owner may, and what the one in use lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

from celeryctl.storage.database import database, session
from celeryctl.storage.ledger import TABLES

# Whoever may write may add to the audit what it has seen, but neither forge when and as which role, nor change it. And
# whoever could write a history of migrations would decide which of them the owner makes. Doubled percent signs: the
# driver takes a single one for a parameter.
NARROW = """
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT c.oid::regclass AS name, a.grantee::regrole AS role,
           c.relname = 'reveals' AND bool_or(a.privilege_type = 'INSERT') AS adds
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND (c.relname = 'reveals' OR starts_with(c.relname, 'celeryctl_migrations'))
      AND a.grantee NOT IN (0, c.relowner) AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
    GROUP BY c.oid, c.relname, a.grantee
  LOOP
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %%s FROM %%s', one.name, one.role);
    IF one.adds THEN
      EXECUTE format('GRANT INSERT (user_id, who, host) ON %%s TO %%s', one.name, one.role);
    END IF;
  END LOOP;
END $$
"""


def narrow() -> None:
    """Take from those who may write every table what is not meant by that."""
    database.execute_sql(NARROW)


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
