"""What the pages of a listing held when they were last read."""

from peewee import Database

STATEMENTS = """
CREATE TABLE readings (
  dataset text NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, page_size integer NOT NULL,
  digests text[] NOT NULL, records integer[] NOT NULL,
  least bigint NOT NULL, greatest bigint NOT NULL, mark text NOT NULL,
  read_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (dataset, lo));
"""


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql(STATEMENTS)  # type: ignore[no-untyped-call]
