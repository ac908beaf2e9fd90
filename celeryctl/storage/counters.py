"""The counters that triggers keep, held against what they count."""

from collections.abc import Sequence
from dataclasses import dataclass

import peewee

from celeryctl.storage.database import database, session, transaction
from celeryctl.storage.ledger import Count
from celeryctl.storage.row import dicts

TRIGGERS = ("rows_added", "rows_removed", "rows_emptied")
UNWATCHED = """
SELECT t.name FROM unnest(%s::text[]) AS t (name) WHERE to_regclass(quote_ident(t.name)) IS NOT NULL
AND (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = to_regclass(quote_ident(t.name)) AND g.tgname = ANY (%s)
     AND g.tgenabled <> 'D') < %s
"""
Models = Sequence[type[peewee.Model]]


@dataclass(frozen=True, slots=True)
class Drift:
    """A table whose counter is wrong, such as after rows were restored with triggers switched off."""

    table: str
    counted: int
    rows: int


def drift(models: Models) -> list[Drift]:
    """The tables whose counter is wrong. Scans them."""
    with session():
        total = peewee.fn.sum(Count.rows).cast("bigint")
        sums = dicts(Count.select(Count.table_name, total.alias("total")).group_by(Count.table_name))
        counted = {one["table_name"]: one["total"] for one in sums}
        rows = {model._meta.table_name: model.select().count() for model in models}
    found = (Drift(table, counted.get(table, 0), count) for table, count in rows.items())
    return [one for one in found if one.counted != one.rows]


def recount(models: Models) -> None:
    """Count these tables anew, and from then on by triggers; writers wait meanwhile."""
    with transaction():
        for model in models:
            count_table(model._meta.table_name)


def count_table(table: str) -> None:
    """Put triggers on a table that count its rows, and count what is there."""
    database.execute_sql("SELECT count_table(quote_ident(%s)::regclass)", (table,))


def uncounted(models: Models) -> list[str]:
    """Those of these tables that exist and have no such triggers."""
    tables = [model._meta.table_name for model in models]
    found = database.execute_sql(UNWATCHED, (tables, list(TRIGGERS), len(TRIGGERS))).fetchall()
    return [row[0] for row in found]
