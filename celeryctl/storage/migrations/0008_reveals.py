"""Who has looked at card numbers in the clear."""

from peewee import Database

STATEMENTS = """
CREATE TABLE reveals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(), user_id bigint NOT NULL,
  who text NOT NULL, host text NOT NULL, role text NOT NULL DEFAULT session_user);
"""


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    db.execute_sql(STATEMENTS)  # type: ignore[no-untyped-call]
