"""The bulk write: COPY into a temporary table, then one INSERT of the rows that are new or differ."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import peewee
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from celeryctl.storage.cipher import Keyring
from celeryctl.storage.database import database
from celeryctl.storage.row import EncryptedField, Row

ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v"})


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows a write created, changed, and found as they were."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def upsert(
    model: type[peewee.Model], key: Sequence[str], rows: Iterable[Mapping[str, Any]], keyring: Keyring
) -> Written:
    """Insert rows (field name to value), overwriting those whose key is already there and which differ.

    Of rows with the same key the last one counts; a column that a row leaves out while others have it becomes null.
    Rows whose parent was deleted meanwhile are left out. Runs in the transaction of the caller; rows are locked in the
    order of their key, so that two batches cannot deadlock.
    """
    unique = {tuple(row[name] for name in key): dict(row) for row in rows}
    if not unique:
        return Written()
    seal(model, key, unique, keyring)
    given = {name for row in unique.values() for name in row}
    fields = [field for field in model._meta.sorted_fields if field.name in given]
    with database.cursor() as cursor:
        statements = Statements(model, [model._meta.fields[name] for name in key], fields)
        cursor.execute(statements.stage)
        cursor.execute(statements.clear)
        cursor.copy_expert(statements.copy, io.StringIO(encode(fields, unique.values())), size=1 << 16)
        return merge(cursor, statements, len(unique))


def merge(cursor: Cursor, statements: "Statements", staged: int) -> Written:
    """Bring the staged rows into their table."""
    cursor.execute(statements.drop_orphans)
    staged -= cursor.rowcount
    if statements.lock:
        cursor.execute(statements.lock)
    cursor.execute(statements.merge)
    created, updated = cursor.fetchone()
    if statements.confirm:
        cursor.execute(statements.confirm)
    return Written(created, updated, staged - created - updated)


def seal(
    model: type[peewee.Model], key: Sequence[str], rows: dict[tuple[Any, ...], dict[str, Any]], keyring: Keyring
) -> None:
    """Encrypt in place what is to be encrypted.

    A value that is already stored keeps its old ciphertext, so that an unchanged row compares equal: every encryption
    of the same text gives another one.
    """
    names = [field.name for field in model._meta.sorted_fields if isinstance(field, EncryptedField)]
    if not names:
        return
    keys, sealed = ([model._meta.fields[name] for name in several] for several in (key, names))
    found = model.select(*keys, *sealed).where(keys[0].in_([identity[0] for identity in rows])).tuples()
    stored = {tuple(row[: len(keys)]): row[len(keys) :] for row in cast("Iterable[tuple[Any, ...]]", found)}
    for identity, row in rows.items():
        context = context_of(model, identity)
        old = dict(zip(names, stored.get(identity, ()), strict=False))
        for name in names:
            same = name in old and keyring.open(old[name], context) == row[name]
            row[name] = old[name] if same else keyring.seal(row[name], context)


def context_of(model: type[peewee.Model], identity: Sequence[Any]) -> str:
    """What a sealed value is bound to: its table and its row's key."""
    return "|".join([model._meta.table_name, *map(str, identity)])


def encode(fields: Sequence[peewee.Field], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows in the text format of COPY (PostgreSQL manual, "COPY", File Formats)."""
    names = [field.name for field in fields]
    return "".join("\t".join([_text(row.get(name)) for name in names]) + "\n" for row in rows)


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode()
    return str(value).translate(ESCAPES)


class Statements:
    """The SQL of one upsert: ``fields`` are written, ``key`` tells rows apart."""

    def __init__(self, model: type[peewee.Model], key: Sequence[peewee.Field], fields: Sequence[peewee.Field]) -> None:
        table = sql.Identifier(model._meta.table_name)
        stage = sql.Identifier(f"incoming_{model._meta.table_name}")
        columns = [sql.Identifier(field.column_name) for field in fields]
        keys = [sql.Identifier(field.column_name) for field in key]
        # By name: two fields of Peewee compare to an expression, which is always true.
        told_by = {field.name for field in key}
        values = [column for field, column in zip(fields, columns, strict=True) if field.name not in told_by]
        touched = [
            sql.Identifier(name) for name in ("updated_at", *(("fetched_at",) if issubclass(model, Row) else ()))
        ]
        names = {
            "table": table,
            "stage": stage,
            "columns": _join(columns),
            "keys": _join(keys),
            "staged": _join(sql.SQL("i.{}").format(column) for column in columns),
            "match": _join((sql.SQL("t.{0} = i.{0}").format(column) for column in keys), " AND "),
            "order": _join(sql.SQL("i.{}").format(column) for column in keys),
            "old": _join(sql.SQL("t.{}").format(column) for column in values),
            "new": _join(sql.SQL("i.{}").format(column) for column in values),
            "changes": _join(
                [sql.SQL("{0} = excluded.{0}").format(column) for column in values]
                + [sql.SQL("{} = now()").format(column) for column in touched]
            ),
        }
        self.stage = sql.SQL(STAGE).format(**names)
        self.copy = sql.SQL("COPY {stage} ({columns}) FROM STDIN").format(**names)
        self.drop_orphans = self._drop_orphans(stage, fields)
        self.merge = sql.SQL(MERGE).format(**names)
        confirmed = issubclass(model, Row)
        self.lock = sql.SQL(LOCK).format(**names) if confirmed else None
        self.confirm = sql.SQL(CONFIRM).format(**names) if confirmed else None
        self.clear = sql.SQL("DELETE FROM {stage}").format(**names)

    @staticmethod
    def _drop_orphans(stage: sql.Identifier, fields: Sequence[peewee.Field]) -> sql.Composable:
        parents = [field for field in fields if isinstance(field, peewee.ForeignKeyField)]
        missing = [
            sql.SQL("({2} IS NOT NULL AND NOT EXISTS (SELECT FROM {0} p WHERE p.{1} = {2}))").format(
                sql.Identifier(field.rel_model._meta.table_name),
                sql.Identifier(field.rel_field.column_name),
                sql.SQL("i.{}").format(sql.Identifier(field.column_name)),
            )
            for field in parents
        ]
        return sql.SQL("DELETE FROM {} i WHERE {}").format(
            stage, _join(missing, " OR ") if missing else sql.SQL("false")
        )


def _join(parts: Iterable[sql.Composable], by: str = ", ") -> sql.Composed:
    return sql.SQL(by).join(parts)


# It stays as long as the connection, so it has every column: the next write may bring others.
STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS SELECT * FROM {table} WITH NO DATA"

# What is merged and what is confirmed after it are two passes: only both at once can be locked in one order.
LOCK = "SELECT FROM {table} t JOIN {stage} i ON {match} ORDER BY {order} FOR NO KEY UPDATE OF t"

# Joining first keeps unchanged rows out of the INSERT: ON CONFLICT alone would lock them and use up their ids.
MERGE = """
WITH written AS (
  INSERT INTO {table} AS t ({columns})
  SELECT {staged} FROM {stage} i LEFT JOIN {table} t ON {match}
  WHERE t.id IS NULL OR ROW({old}) IS DISTINCT FROM ROW({new})
  ORDER BY {order}
  ON CONFLICT ({keys}) DO UPDATE SET {changes}
  RETURNING (xmax = 0) AS created
)
SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created) FROM written
"""

CONFIRM = "UPDATE {table} AS t SET fetched_at = now() FROM {stage} i WHERE {match} AND t.fetched_at < now()"
