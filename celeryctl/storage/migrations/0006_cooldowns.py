"""Sources that are left alone for a while."""

from peewee import Database


def up(migrator: object, db: Database) -> None:  # noqa: ARG001 - the runner's signature
    statement = "ALTER TABLE sources ADD failures integer NOT NULL DEFAULT 0, ADD asks_again_at timestamptz"
    db.execute_sql(statement)  # type: ignore[no-untyped-call]
