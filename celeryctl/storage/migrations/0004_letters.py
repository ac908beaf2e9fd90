"""Messages that are none."""

from peewee import Database

STATEMENTS = """
CREATE TABLE dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(), worker text NOT NULL, reason text NOT NULL,
  task text NOT NULL, task_id text NOT NULL, origin text NOT NULL, size bigint NOT NULL);
"""


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql(STATEMENTS)  # type: ignore[no-untyped-call]
