"""Counters for the whole cluster, for ever: `runs` may be pruned, processes end."""

from peewee import Database

# A row is updated with every batch: with room beside it the new version needs no new entry in the index.
STATEMENTS = """
CREATE TABLE totals (
  dataset text NOT NULL, name text NOT NULL, label text NOT NULL, value double precision NOT NULL,
  PRIMARY KEY (dataset, name, label)) WITH (fillfactor = 50);
"""


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql(STATEMENTS)  # type: ignore[no-untyped-call]
