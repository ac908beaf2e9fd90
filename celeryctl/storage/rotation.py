"""Sealed values: under which key they are, and sealing them anew with another one."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from psycopg2 import sql
from psycopg2.extras import execute_values

from celeryctl.errors import CipherError
from celeryctl.storage.cipher import VERSION, Keyring
from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.row import EncryptedField
from celeryctl.storage.snapshot import ALIVE
from celeryctl.storage.upsert import context_of

BATCH = 1000  # rows that are locked at a time

SEALED = rf"^{VERSION}\.([0-9a-f]{{8}})\."
PLAIN = re.compile(r"[\d -]{12,32}", re.ASCII)  # a card number that somebody else has written

KEY_ID = "substring({column} FROM {sealed})"
COUNT = "SELECT {key_id}, count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
ENDS = """
(SELECT {key_id} FROM {table} WHERE {column} IS NOT NULL ORDER BY id LIMIT 1)
UNION (SELECT {key_id} FROM {table} WHERE {column} IS NOT NULL ORDER BY id DESC LIMIT 1)
"""
# Along the key, as a bulk write locks its rows.
NEXT = """
SELECT id, {column}, {keys} FROM {table}
WHERE {column} IS NOT NULL AND {key_id} IS DISTINCT FROM %(ours)s {further}
ORDER BY {keys} LIMIT %(most)s FOR UPDATE
"""
WRITE = "UPDATE {table} AS t SET {column} = v.sealed FROM (VALUES %s) AS v (id, sealed) WHERE t.id = v.id"
OTHERS = "SELECT name, key_id FROM workers WHERE seen_at > now() - %s AND key_id IS DISTINCT FROM %s ORDER BY name"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of sealed values, and by what its rows are told apart."""

    model: type[peewee.Model]
    field: EncryptedField
    key: tuple[str, ...]

    @property
    def table(self) -> str:
        return str(self.model._meta.table_name)

    def made(self, text: str, **more: sql.Composable) -> sql.Composed:
        """The SQL of ``text`` for this column."""
        names = [sql.Identifier(self.model._meta.fields[name].column_name) for name in self.key]
        column = sql.Identifier(self.field.column_name)
        key_id = sql.SQL(KEY_ID).format(column=column, sealed=sql.Literal(SEALED))
        own = {"table": sql.Identifier(self.table), "column": column, "keys": sql.SQL(", ").join(names)}
        return sql.SQL(text).format(**own, key_id=key_id, **more)


def columns(model: type[peewee.Model], key: tuple[str, ...]) -> list[Column]:
    """The columns of sealed values that a data set's table has."""
    return [Column(model, field, key) for field in model._meta.sorted_fields if isinstance(field, EncryptedField)]


def counts(column: Column) -> dict[str | None, int]:
    """How many values are sealed with each key, by its id; None is for what is not sealed. Scans the table."""
    with session(), database.cursor() as cursor:
        cursor.execute(column.made(COUNT))
        return dict(cursor.fetchall())


def ends(column: Column) -> set[str | None]:
    """With which keys, by their ids, the oldest and the newest value are sealed; None is for what is not sealed."""
    with session(), database.cursor() as cursor:
        cursor.execute(column.made(ENDS))
        return {key_id for (key_id,) in cursor.fetchall()}


def others(key_id: str) -> list[tuple[str, str | None]]:
    """The living workers that seal with another key, each with that key's id."""
    with session():
        return list(database.execute_sql(OTHERS, (ALIVE, key_id)).fetchall())


def rotate(column: Column, ring: Keyring, progress: Callable[[int], None]) -> int:
    """Seal with the ring's first key every value that can be opened, and every plain number. Returns how many.

    ``progress`` gets the number of rows that a transaction has done. Whatever ends it, what was done stays, and the
    next call goes on with the rest. Workers may go on writing.
    """
    done = 0
    after: Sequence[Any] | None = None
    while True:
        with transaction(), database.cursor() as cursor:
            rows = _next(cursor, column, ring.ids[0], after)
            if not rows:
                return done
            fresh = list(_sealed(column, rows, ring))
            execute_values(cursor, column.made(WRITE), fresh, page_size=BATCH)
        after = rows[-1][2:]
        done += len(fresh)
        progress(len(rows))


def _next(cursor: Any, column: Column, ours: str, after: Sequence[Any] | None) -> list[tuple[Any, ...]]:
    further = sql.SQL("") if after is None else column.made("AND ({keys}) > %(after)s")
    cursor.execute(column.made(NEXT, further=further), {"ours": ours, "most": BATCH, "after": tuple(after or ())})
    return list(cursor.fetchall())


def _sealed(column: Column, rows: Sequence[tuple[Any, ...]], ring: Keyring) -> Iterator[tuple[int, str]]:
    """Id and new value of those that can be read."""
    for number, value, *key in rows:
        place = context_of(column.model, key)
        try:
            yield number, ring.seal(value if PLAIN.fullmatch(value) else ring.open(value, place), place)
        except CipherError:
            continue
