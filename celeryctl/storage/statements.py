"""The SQL of a bulk write, for any model."""

from collections.abc import Collection, Iterable, Sequence

import peewee
from psycopg2 import sql

from celeryctl.storage.row import Row

# What is locked, merged and confirmed are several passes: only all at once can be locked in one order.
STORED = "COPY (SELECT {columns} FROM {table} t WHERE {key} {wanted} ORDER BY {keys}{lock}) TO STDOUT"

# It stays as long as the connection, so it has every column: the next write may bring others.
STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS SELECT * FROM {table} WITH NO DATA"

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


class Statements:
    """The SQL of one upsert: ``fields`` are written, those of ``key`` tell rows apart and come first."""

    def __init__(self, model: type[peewee.Model], key: Sequence[str], fields: Sequence[peewee.Field]) -> None:
        self.table, self.key, self.fields = model._meta.table_name, key, fields
        # By name: two fields of Peewee compare to an expression, which is always true.
        columns = {field.name: sql.Identifier(field.column_name) for field in fields}
        keys = [columns[name] for name in key]
        values = [column for name, column in columns.items() if name not in key]
        self.confirmed = issubclass(model, Row)
        touched = ("updated_at", "fetched_at") if self.confirmed else ("updated_at",)
        self._names = {
            "table": sql.Identifier(model._meta.table_name),
            "stage": sql.Identifier(f"incoming_{model._meta.table_name}"),
            "columns": _join(columns.values()),
            "key": sql.SQL("t.{}").format(keys[0]),
            "keys": _join(keys),
            "staged": _join(sql.SQL("i.{}").format(column) for column in columns.values()),
            "match": _join((sql.SQL("t.{0} = i.{0}").format(column) for column in keys), " AND "),
            "order": _join(sql.SQL("i.{}").format(column) for column in keys),
            "old": _join(sql.SQL("t.{}").format(column) for column in values),
            "new": _join(sql.SQL("i.{}").format(column) for column in values),
            "changes": _join(
                [sql.SQL("{0} = excluded.{0}").format(column) for column in values]
                + [sql.SQL("{} = now()").format(sql.Identifier(name)) for name in touched]
            ),
        }
        self.copy = self._made("COPY {table} ({columns}) FROM STDIN")
        self.create_stage = self._made(STAGE)
        self.clear_stage = self._made("DELETE FROM {stage}")
        self.copy_to_stage = self._made("COPY {stage} ({columns}) FROM STDIN")
        self.drop_orphans = self._drop_orphans(fields)
        # Of the key alone: of every column its values would come into pg_statistic and the WAL, also those of rows that
        # are refused.
        self.analyze = self._made("ANALYZE {stage} ({keys})")
        self.merge = self._made(MERGE)
        self.confirm = self._made(CONFIRM)

    def stored(self, wanted: Collection[object], *, locked: bool) -> sql.Composable:
        """Copies out the rows that begin with one of these keys, and perhaps some between them, in the order of keys.

        Where ``locked``, just those, which are then locked in that order.
        """
        lock = sql.SQL(" FOR NO KEY UPDATE" if locked else "")
        dense = None if locked else _range(wanted)
        one_of = sql.SQL("IN {}").format(sql.Literal(tuple(wanted)))
        between = dense and sql.SQL("BETWEEN {} AND {}").format(*map(sql.Literal, dense))
        return self._made(STORED, wanted=between or one_of, lock=lock)

    def _drop_orphans(self, fields: Sequence[peewee.Field]) -> sql.Composable:
        parents = [field for field in fields if isinstance(field, peewee.ForeignKeyField)]
        missing = [
            sql.SQL("({2} IS NOT NULL AND NOT EXISTS (SELECT FROM {0} p WHERE p.{1} = {2}))").format(
                sql.Identifier(field.rel_model._meta.table_name),
                sql.Identifier(field.rel_field.column_name),
                sql.SQL("i.{}").format(sql.Identifier(field.column_name)),
            )
            for field in parents
        ]
        gone = _join(missing, " OR ") if missing else sql.SQL("false")
        return self._made("DELETE FROM {stage} i WHERE {gone}", gone=gone)

    def _made(self, template: str, **more: sql.Composable) -> sql.Composable:
        return sql.SQL(template).format(**self._names, **more)


def _join(parts: Iterable[sql.Composable], by: str = ", ") -> sql.Composed:
    return sql.SQL(by).join(parts)


def _range(keys: Collection[object]) -> tuple[int, int] | None:
    """The ends of whole numbers that lie close together: a range is found sooner than each of them."""
    numbers = [key for key in keys if type(key) is int]
    if not numbers or len(numbers) < len(keys):
        return None
    least, greatest = min(numbers), max(numbers)
    return (least, greatest) if greatest - least < 2 * len(numbers) else None
